"""What is set aside for computing covers what the native code allocates, and not much more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.core import PAGE_TOKENS
from pennyweight.memory_need import buffer_bytes, kv_bytes, memory_need, step_bytes
from pennyweight.models.load import load
from pennyweight.models.outline import outline
from pennyweight.models.spec import ExpertSpec
from pennyweight.native import _native
from tests.models.tiny import TinyShape, gemma_shape, llama_shape, write_tiny
from tests.native import tiny_decoders
from tests.native.native_decoders import native_model

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1100
ODD: dict[str, Any] = {"kind": "F16", "kinds": {}, "d_model": 52, "d_ff": 100, "head_dim": 22}
SHAPES = {
    "llama": llama_shape(context_length=4096),
    "wide": llama_shape(context_length=4096, d_model=256, num_heads=16, d_ff=1024),
    "floats": llama_shape(context_length=4096, kind="F16", d_ff=512),
    "gemma": gemma_shape(context_length=4096),
    "odd": llama_shape(context_length=4096, **ODD),
}


def run(decoder: _native.Decoder, rows: list[_native.Row]) -> None:
    decoder.begin(rows)
    while not decoder.finish(timeout_s=1)[1]:
        pass


def grown(decoder: _native.Decoder) -> int:
    """By how much a step of ROWS rows needs more than one of a single row."""
    run(decoder, [_native.Row(tokens=[1], position=0, pages=list(range(64)))])
    single = decoder.buffer_bytes
    run(decoder, [_native.Row(tokens=[1] * ROWS, position=0, pages=list(range(64)))])
    return decoder.buffer_bytes - single


@pytest.mark.parametrize("type", ["Q8_0", "F16"])
def test_buffers_of_experts(type: str) -> None:
    experts = ExpertSpec(count=19, used=5, d_ff=96, normalize=True)
    tiny = tiny_decoders.experts((type,), experts=experts)
    decoder = _native.Decoder(native_model(tiny), num_pages=64, num_threads=1)
    small, large = (step_bytes(tiny.spec, rows=rows, has_float_weights=type == "F16") for rows in (1, ROWS))
    assert large - small == pytest.approx(grown(decoder), rel=0.25)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_buffers(tmp_path: Path, shape: TinyShape) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", shape)
    model = outline(path)
    spec = model.spec
    decoder = _native.Decoder(load(path).model, num_pages=64, num_threads=1)
    pages = list(range(64))
    small = step_bytes(spec, rows=1, has_float_weights=model.has_float_weights)
    large = step_bytes(spec, rows=ROWS, has_float_weights=model.has_float_weights)
    assert large - small == pytest.approx(grown(decoder), rel=0.25)
    slots = [decoder.open_sampler(seed=i, temperature=1.0, top_p=0.9, top_logprobs=5) for i in range(60)]
    rows = [
        _native.Row(tokens=[i], position=ROWS, pages=pages, sampler=slot, logits=_native.Logits.LAST)
        for i, slot in enumerate(slots)
    ]
    run(decoder, rows)
    assert decoder.buffer_bytes < buffer_bytes(spec, threads=1, has_float_weights=model.has_float_weights)


@pytest.mark.parametrize("shape", [llama_shape(), llama_shape(**ODD)], ids=["whole", "odd"])
def test_pages_are_counted_as_they_are_committed(tmp_path: Path, shape: TinyShape) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", shape)
    spec = outline(path).spec
    decoder = _native.Decoder(load(path).model, num_pages=8, num_threads=1)
    assert kv_bytes(spec, 1) == kv_bytes(spec, 4 * PAGE_TOKENS) == 4 * decoder.page_bytes
    assert kv_bytes(spec, 4 * PAGE_TOKENS + 1) == 8 * decoder.page_bytes


@pytest.mark.parametrize("shape", [llama_shape(), llama_shape(**ODD)], ids=["whole", "odd"])
def test_the_need_has_every_part(tmp_path: Path, shape: TinyShape) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", shape)
    model = outline(path)
    need = memory_need(model, resident_bytes=1000, threads=1)
    assert need.weight_bytes >= load(path).model.weight_bytes
    assert need.page_bytes == kv_bytes(model.spec, 512)
    assert need.total_bytes > need.program_bytes > 1000
