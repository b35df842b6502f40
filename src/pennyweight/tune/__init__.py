"""Tuning: examples become an adapter, in a process of its own (`python -m pennyweight.tune FOLDER`).

`plan` and `dataset` are for every program; the other files need the extra `tune` (torch, transformers, peft).
"""
