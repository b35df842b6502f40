"""The engine beside its reference in float32: an adapter is on both sides, or on none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.quality import WINDOW, measure
from pennyweight.models.adapter.files import AdapterFiles
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import llama_shape

if TYPE_CHECKING:
    from pathlib import Path

TEXT = json.dumps([number * number for number in range(2000)])


def figures(path: Path, adapter: AdapterFiles | None) -> dict[str, Any]:
    return measure(path, TEXT, num_tokens=2 * WINDOW, threads=1, adapter=adapter)


@pytest.mark.parametrize("use_rslora", [False, True])
def test_an_adapter_is_on_both_sides(tiny_llama_path: Path, tmp_path: Path, use_rslora: bool) -> None:
    adapter = AdapterFiles.of(write_adapter(tmp_path, llama_shape(), lora_alpha=2, use_rslora=use_rslora))
    without, adapted = figures(tiny_llama_path, None), figures(tiny_llama_path, adapter)
    assert without["adapter"] is None
    assert adapted["adapter"]
    for found in (without, adapted):
        assert 0 < found["all_positions"]["kld"] < 0.02
        assert found["tokens"] == 2 * WINDOW
    change = abs(without["all_positions"]["reference_ppl"] - adapted["all_positions"]["reference_ppl"])
    assert change > 1  # the adapter does something
