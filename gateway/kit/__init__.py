"""What an adapter author imports; public and stable."""
