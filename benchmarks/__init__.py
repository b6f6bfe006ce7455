"""The measured claims of the README, each by one command that prints JSON."""
