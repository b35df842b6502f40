"""Distillation: best of many samples taught to a single one. `python -m examples.distill --help`."""
