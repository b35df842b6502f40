"""Tests of background work: batches."""
