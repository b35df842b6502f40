"""Writes `tokenizer_goldens.json`: ids of 532 translations under each vocabulary, from other implementations.

Run with `python -m tests.text.make_tokenizer_goldens PATH_OF_LLAMA_TOKENIZE` where `transformers` is
installed. `transformers` answers where it can build the vocabulary offline, llama.cpp's `llama-tokenize` for
the others. An entry is the number of ids and the first 16 hex digits of the SHA-256 of their decimal list.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.text.reference_tokenizers import FROM_FILE, FROM_LISTS, reference_encode
from tests.text.vocabularies import NAMES, metadata, translations, unpack

HERE = Path(__file__).parent


def golden(ids: list[int]) -> str:
    return f"{len(ids)} {hashlib.sha256(str(ids).encode()).hexdigest()[:16]}"


def llama_encode(program: str, model: Path, text: str) -> list[int]:
    """Ids by llama.cpp, control tokens not recognised."""
    source = model.with_suffix(".txt")
    source.write_text(text, newline="")
    command = [program, "-m", str(model), "--ids", "-f", str(source), "--no-bos", "--no-parse-special"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(token) for token in json.loads(output.strip().splitlines()[-1])]


def main(program: str) -> None:
    data = Path(os.environ.get("PENNYWEIGHT_SHARED", HERE.parents[2] / "shared")) / "data"
    text = "\n".join(translations(data))
    goldens = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = unpack(data, name, Path(folder))
            if name in (*FROM_FILE, *FROM_LISTS):
                goldens[name] = golden(reference_encode(name, metadata(data, name), path)(text))
            else:
                goldens[name] = golden(llama_encode(program, path, text))
    (HERE / "tokenizer_goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
