"""Tests of distillation: prompts, checks, lessons, the work folder."""
