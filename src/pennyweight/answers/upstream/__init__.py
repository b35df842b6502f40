"""Answers of models elsewhere, through an OpenAI-compatible service: asked in messages, read with care."""
