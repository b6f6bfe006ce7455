"""Making FHIR JSON of rows, under the name that adapter authors import; see `gateway.canonical.shaping`."""

from gateway.canonical.shaping import resource, shaped

__all__ = ["resource", "shaped"]
