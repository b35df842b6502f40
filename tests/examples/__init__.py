"""Tests of the worked examples: their data, scorers and judges, and small runs against a real server."""
