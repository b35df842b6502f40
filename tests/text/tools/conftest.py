"""A compiler over a tiny byte-level vocabulary."""

from __future__ import annotations

import pytest

from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.tokenizer import Tokenizer
from tests.models.gguf_writer import Typed
from tests.models.tiny_vocabulary import bpe_vocabulary


@pytest.fixture(scope="session")
def tool_tokenizer() -> Tokenizer:
    metadata = {
        key: value.value if isinstance(value, Typed) else value for key, value in bpe_vocabulary().items()
    }
    return Tokenizer.from_metadata(metadata)


@pytest.fixture(scope="session")
def tool_compiler(tool_tokenizer: Tokenizer) -> GrammarCompiler:
    return GrammarCompiler(tool_tokenizer)
