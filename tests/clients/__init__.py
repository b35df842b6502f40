"""Other people's clients against a real server; run by `make clients`, each in an environment of its own."""
