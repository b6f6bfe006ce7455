"""Pure: the clinic's billing rules as data, and their evaluation."""
