"""The soak on the native decoder with tiny models: batched, preempted, shared or alone, one text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.models.load import load
from tests.engine.soak import Soak, run_soak
from tests.models.tiny import write_tiny_gemma, write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

native = pytest.importorskip("pennyweight.native._native", reason="the extension is not built")


@pytest.mark.parametrize(
    ("write", "num_requests"), [(write_tiny_llama, 300), (write_tiny_gemma, 100)], ids=["llama", "gemma3"]
)
def test_hundreds_of_requests_on_the_native_decoder(
    write: Callable[[Path], Path], num_requests: int, tmp_path: Path
) -> None:
    loaded = load(write(tmp_path / "tiny.gguf"))
    vocab_size = loaded.spec.vocab_size
    run_soak(
        Soak(
            make_decoder=lambda num_pages: native.Decoder(loaded.model, num_pages=num_pages, num_threads=1),
            module=native,
            vocab_size=vocab_size,
            end_tokens=frozenset({vocab_size - 1}),
            num_requests=num_requests,
        )
    )
