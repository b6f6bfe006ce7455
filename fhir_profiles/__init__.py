"""Data: StructureDefinitions of the canonical model and their examples."""
