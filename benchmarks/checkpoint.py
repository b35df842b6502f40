"""A GGUF file as the transformers checkpoint that other engines' converters start from.

Run by the converters' own environment (`build/peers/convert`), which has torch and transformers. The weights
are those of the file, dequantised to float32: every peer then computes the same model.

    python -m benchmarks.checkpoint MODEL.gguf FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def write_checkpoint(source: Path, folder: Path) -> None:
    """Read `source` and write model and tokenizer to `folder`."""
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    weights, config = read.state_dict(), read.config
    # A model that remembers where it comes from refuses to be saved: the weights move to a plain one.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # transformers may be absent where types are checked, and leaves this method untyped where it is there.
    from_config = AutoModelForCausalLM.from_config
    plain = from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call, unused-ignore]
    plain.load_state_dict(weights)
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))
