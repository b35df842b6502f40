"""`penny quantize` as a person runs it: a file that answers, and one line for whatever is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models.tiny import llama_shape, write_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


@pytest.fixture
def floats(tmp_path: Path) -> str:
    return str(write_tiny(tmp_path / "floats.gguf", llama_shape(kind="F16", kinds={})))


def test_a_model_is_quantised_and_answers(penny: Penny, floats: str, tmp_path: Path) -> None:
    text, new = tmp_path / "text.txt", str(tmp_path / "new.gguf")
    text.write_text("the little lions in the hills tell thee all. " * 20)
    done = penny.run("quantize", floats, new, "--type", "mixed", "--imatrix", str(text))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{new}: 20 tensors, 0.1 MB instead of 0.2")
    answered = penny.run("run", "--model", new, "--max-tokens", "4", "--temperature", "0", "hello")
    assert answered.returncode == 0
    assert answered.stdout


def test_the_page_that_comes_with_it_is_read(penny: Penny, floats: str, tmp_path: Path) -> None:
    runs = ((), ("--imatrix", "none"))
    for number, options in enumerate(runs):
        done = penny.run("quantize", floats, str(tmp_path / f"{number}.gguf"), "--type", "q4_0", *options)
        assert done.returncode == 0
    assert (tmp_path / "0.gguf").read_bytes() != (tmp_path / "1.gguf").read_bytes()


def test_lost_bits_are_told(penny: Penny, floats: str, tmp_path: Path) -> None:
    assert penny.run("quantize", floats, str(tmp_path / "a.gguf"), "--type", "q8_0").returncode == 0
    done = penny.run("quantize", str(tmp_path / "a.gguf"), str(tmp_path / "b.gguf"), "--type", "q4_0")
    assert done.returncode == 0
    assert "had lost bits already (Q8_0); a file of floats makes a better one" in done.stderr


def test_what_is_wrong_is_one_line(penny: Penny, floats: str, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"abc\xff")
    (tmp_path / "short.txt").write_text("hello")
    new = str(tmp_path / "new.gguf")
    for arguments, problem in (
        ((floats, floats, "--type", "q4_0"), "is the model that is read"),
        ((str(tmp_path / "no.gguf"), new, "--type", "q4_0"), "there is no model file"),
        (
            (floats, new, "--type", "q4_0", "--imatrix", str(tmp_path / "no.txt")),
            "no.txt cannot be read: No such",
        ),
        (
            (floats, new, "--type", "q4_0", "--imatrix", str(tmp_path / "bytes.txt")),
            "is not a text in UTF-8 (byte 3)",
        ),
        ((floats, new, "--type", "q4_0", "--imatrix", str(tmp_path / "short.txt")), "at least 256"),
    ):
        done = penny.run("quantize", *arguments)
        assert done.returncode == 1, problem
        assert problem in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert penny.run("quantize", floats, new, "--type", "q3_0").returncode == 2
    assert penny.run("quantize", floats, new).returncode == 2
    assert not (tmp_path / "new.gguf").exists()
