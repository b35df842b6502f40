"""Assistants, threads, messages and runs, as OpenAI's Assistants interface (v2) had them."""
