"""Protocols only: what the pipeline asks of adapters and of the store."""
