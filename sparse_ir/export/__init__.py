"""An index for other engines: their file formats, written and read."""
