"""Worked examples of tuning: scripts to copy, each with its measured table. `docs/tuning.md` shows them."""
