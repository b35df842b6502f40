"""Who serves an adapter on another file than it was trained on is told, once, and served."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pennyweight.api import Engine
from pennyweight.models.adapter.base import BaseCheck
from pennyweight.models.adapter.files import AdapterFiles
from pennyweight.models.load import load
from pennyweight.models.safetensors import SafetensorsFile
from tests.models.adapter.tiny_adapter import adapter_tensors, module_shapes, write_adapter
from tests.models.tiny import llama_shape, write_tiny_llama
from tests.models.tiny_encoder import safetensors_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHAPE = llama_shape()


def trained_on(folder: Path, content_hash: str) -> Path:
    write_adapter(folder, SHAPE)
    told = {"pennyweight_base": "tiny", "pennyweight_base_hash": content_hash}
    data = safetensors_bytes(adapter_tensors(module_shapes(SHAPE)), **told)
    (folder / "adapter_model.safetensors").write_bytes(data)
    return folder


def test_another_file_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same model in other bits: it answers all the same."""
    first = write_tiny_llama(tmp_path / "first.gguf", kind="Q8_0")
    other = write_tiny_llama(tmp_path / "other.gguf", kind="Q4_0")
    hashes = [load(path).content_hash for path in (first, other)]
    folder = trained_on(tmp_path / "mine", hashes[0])
    answers = []
    with caplog.at_level(logging.WARNING):
        for path in (first, other):
            with Engine.open(path, threads=1, parallel=1, adapters={"mine": folder}) as engine:
                answers.append(engine.chat("hi", model="mine", max_tokens=4, temperature=0).text)
                engine.remove_adapter("mine")
                engine.add_adapter("mine", folder)
                engine.chat("hi", model="mine", max_tokens=4, temperature=0)
    assert len(answers) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"the adapter mine was trained on 'tiny' with the content {hashes[0][:12]}, and is used with other, "
        f"whose content is {hashes[1][:12]}: its answers can differ from what it learnt; serve the file it "
        "was trained on, or train it again on this one"
    ]


def test_adapters_that_say_nothing_are_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check = BaseCheck(name="m", content_hash="ab")
    with caplog.at_level(logging.WARNING):
        check.look_at(AdapterFiles.of(write_adapter(tmp_path / "plain", SHAPE)))
        check.look_at(AdapterFiles.of(trained_on(tmp_path / "same", "ab")))
    assert not caplog.records


def test_texts_of_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes({}, colour="red"))
    with SafetensorsFile.open(path) as file:
        assert dict(file.metadata) == {"format": "pt", "colour": "red"}
    data = path.read_bytes().replace(
        b'{"format": "pt", "colour": "red"}', b"[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]  "
    )
    path.write_bytes(data)
    with SafetensorsFile.open(path) as file:
        assert not file.metadata
