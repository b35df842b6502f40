"""Adapters: what PEFT saves of a LoRA, checked, and put where the decoder's rows are."""
