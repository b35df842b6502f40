"""A folder opened as programs and the command line open models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.api import Engine
from pennyweight.errors import ModelNotFoundError
from tests.models.gguf_writer import write_gguf
from tests.models.huggingface.tiny_folder import stable_tensors, write_folder
from tests.models.tiny import llama_shape, tiny_metadata

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = llama_shape(kind="F16", kinds={})


def test_a_folder_answers_as_its_gguf_file_does(tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "a.gguf", tiny_metadata(SHAPE), stable_tensors(SHAPE))
    folder = write_folder(tmp_path / "my-folder", SHAPE)
    answers = []
    for path in (gguf, folder):
        with Engine.open(path, threads=1, parallel=1) as engine:
            answers.append(
                [engine.chat(text, max_tokens=24, seed=7).text for text in ("the inner hell", "日本 9")]
            )
            assert engine.can_chat
    assert answers[0] == answers[1]
    assert engine.name == "my-folder"


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model file"):
        Engine.open(tmp_path)
