"""Tests of the house itself: its shape, its arrows of import, and what is generated."""
