"""Preference: shorter answers in one paragraph, by DPO. `python -m examples.preference --help`."""
