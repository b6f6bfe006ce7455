"""The sandbox: simulators, a generator of clinic days, and the demo."""
