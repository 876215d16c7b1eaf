"""Where encoders meet the index: text in, hits out."""
