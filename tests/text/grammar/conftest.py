"""Compilers over tiny complete vocabularies."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.tokenizer import Tokenizer
from tests.models.gguf_writer import Typed
from tests.models.tiny_vocabulary import bpe_vocabulary, spm_vocabulary


@pytest.fixture(scope="session", params=["bpe", "spm"])
def tiny_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.from_metadata(_plain(bpe_vocabulary() if request.param == "bpe" else spm_vocabulary()))


@pytest.fixture(scope="session")
def compiler(tiny_tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tiny_tokenizer)


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata as a reader of files gives it."""
    return {key: value.value if isinstance(value, Typed) else value for key, value in metadata.items()}
