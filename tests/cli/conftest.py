"""A person's home, and models in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.penny import Penny
from tests.models.gguf_writer import write_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors, write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def penny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Penny:
    return Penny(home=tmp_path, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that, asked at temperature 0, writes on until its long context is full."""
    return write_tiny_llama(tmp_path_factory.mktemp("cli") / "tiny-endless.gguf", context_length=131_072)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template."""
    shape = llama_shape()
    metadata = {k: v for k, v in tiny_metadata(shape).items() if k != "tokenizer.chat_template"}
    return write_gguf(tmp_path_factory.mktemp("cli") / "tiny-base.gguf", metadata, tiny_tensors(shape))
