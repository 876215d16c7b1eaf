"""The index: segments of postings, the catalog beside them, one writer and many readers."""
