"""All vendor knowledge, one folder per vendor."""
