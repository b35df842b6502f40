"""Folders as Hugging Face keeps models: `config.json`, safetensors files, tokenizer, chat template."""
