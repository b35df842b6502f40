"""Files of random weights are whole models: they load, and what they compute is finite."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.random_files import QUANTISATIONS, SHAPES, random_file
from pennyweight.models.load import load
from pennyweight.native import _native

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.random_files import Quantisation


@pytest.mark.parametrize("quantisation", QUANTISATIONS)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_small_one_computes(tmp_path: Path, architecture: str, quantisation: Quantisation) -> None:
    [first, *_] = [shape for shape in SHAPES if shape.architecture == architecture]
    small = {"layers": 3, "d_model": 256, "heads": 4, "kv_heads": 2, "head_dim": 64, "d_ff": 512}
    shape = replace(first, **small, vocab=300)
    path = random_file(tmp_path, shape, quantisation)
    assert random_file(tmp_path, shape, quantisation) == path, "made once"
    loaded = load(path)
    decoder = _native.Decoder(loaded.model, num_pages=1, num_threads=1)
    decoder.begin([_native.Row(tokens=[1, 2, 3], position=0, pages=[0], logits=_native.Logits.LAST)])
    assert decoder.finish(timeout_s=60)[1]
    logits = struct.unpack(f"<{loaded.spec.vocab_size}f", decoder.logits(0))
    assert all(map(math.isfinite, logits))
    assert max(logits) > min(logits)
