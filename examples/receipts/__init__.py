"""Receipts: the text of a scan becomes JSON. `python -m examples.receipts --help`."""
