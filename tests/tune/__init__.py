"""Tests of training. Those that need torch are skipped where it is not installed."""
