"""Text to term weights."""
