"""Makes better encoders, and validates them by the same search that users run."""
