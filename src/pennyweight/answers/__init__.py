"""The one way to get an answer: dialects become a `Conversation` and `Options`, answers come as events."""
