"""Declarative mapping rows, under the name that adapter authors import; see `gateway.canonical.mapping`."""

from gateway.canonical.mapping import Row, apply, first, same

__all__ = ["Row", "apply", "first", "same"]
