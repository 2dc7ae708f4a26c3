"""Built-in procedures."""
