"""A person's home, and models in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.cli.penny import Penny
from tests.models.gguf_writer import write_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors

if TYPE_CHECKING:
    from pathlib import Path

NUM_CONTROL_TOKENS = 3  # the first ids of the tiny llama's vocabulary


@pytest.fixture
def penny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Penny:
    return Penny(home=tmp_path, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that, asked at temperature 0, writes on until its long context is full.

    Rows of zeros keep its control tokens' logits at 0, and some other token is above that.
    """
    shape = llama_shape(context_length=131_072)
    tensors = tiny_tensors(shape)
    name = "output.weight" if "output.weight" in tensors else "token_embd.weight"
    head = tensors[name]
    row_bytes = len(head.data) // head.shape[0]
    data = bytes(NUM_CONTROL_TOKENS * row_bytes) + head.data[NUM_CONTROL_TOKENS * row_bytes :]
    tensors[name] = replace(head, data=data)
    return write_gguf(tmp_path_factory.mktemp("cli") / "tiny-endless.gguf", tiny_metadata(shape), tensors)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    shape = llama_shape()
    metadata = {k: v for k, v in tiny_metadata(shape).items() if k != "tokenizer.chat_template"}
    return write_gguf(tmp_path_factory.mktemp("cli") / "tiny-base.gguf", metadata, tiny_tensors(shape))
