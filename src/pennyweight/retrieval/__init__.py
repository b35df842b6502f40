"""Files become chunks that are found again: reading, cutting, indexing, searching."""
