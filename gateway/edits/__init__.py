"""Pure claim edits: one small function per edit, each with its id."""
