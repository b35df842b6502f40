"""Answers that are kept: views over the store's items, conversations, generations and events."""
