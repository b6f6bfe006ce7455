"""A FHIR R4 server for simulators: store, search, paging, SMART Backend Services; which vendor it plays is the
simulator's affair."""
