"""Wire syntaxes, without any vendor or claim knowledge."""
