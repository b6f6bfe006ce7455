"""The use cases, one file per step, as plain async functions."""
