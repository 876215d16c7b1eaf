"""A retriever in the clothes of other frameworks, one file a framework."""
