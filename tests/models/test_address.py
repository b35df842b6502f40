"""What a person writes after `penny pull`, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import FetchError
from pennyweight.models.address import HubAddress, parse_address
from pennyweight.models.catalog import LocalPath, Url

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "repo", "revision", "file"),
    [
        ("hf:Qwen/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF", None, None),
        ("hf:a/b:m.gguf", "a/b", None, "m.gguf"),
        ("hf:a/b:Q4_K_M", "a/b", None, "Q4_K_M"),
        ("hf:a/b@v1.0:dir/m 2.gguf", "a/b", "v1.0", "dir/m 2.gguf"),
        ("hf:a/b@refs/pr/3", "a/b", "refs/pr/3", None),
        ("https://huggingface.co/a/b", "a/b", None, None),
        ("https://huggingface.co/a/b/tree/v1", "a/b", "v1", None),
        ("https://huggingface.co/a/b/blob/main/m.gguf", "a/b", "main", "m.gguf"),
        ("https://hf.co/a/b/resolve/refs%2Fpr%2F1/m.gguf?download=true", "a/b", "refs/pr/1", "m.gguf"),
    ],
)
def test_repositories(text: str, repo: str, revision: str | None, file: str | None) -> None:
    assert parse_address(text) == HubAddress(repo=repo, revision=revision, file=file)


def test_an_address_reads_as_it_is_written() -> None:
    for text in ("hf:a/b", "hf:a/b:m.gguf", "hf:a/b@v1", "hf:a/b@v1:Q4_0"):
        assert str(parse_address(text)) == text


def test_names_urls_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"")
    (tmp_path / "ab:c").write_bytes(b"")
    assert parse_address("qwen3-4b") is None
    assert parse_address("https://example.org/m.gguf?key=1") == Url(url="https://example.org/m.gguf?key=1")
    assert parse_address("m.gguf") == LocalPath(path="m.gguf")
    assert parse_address(str(tmp_path)) == LocalPath(path=str(tmp_path))
    assert parse_address("ab:c") == LocalPath(path="ab:c")


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("hf:gpt2", "write hf:OWNER/NAME"),
        ("hf:a/b:../../etc/passwd", "write hf:OWNER/NAME"),
        ("hf:a/b:/etc/passwd", "write hf:OWNER/NAME"),
        ("hf:../b", "write hf:OWNER/NAME"),
        ("hf:", "write hf:OWNER/NAME"),
        ("ftp://example.org/m.gguf", "cannot be fetched: write hf:OWNER/NAME, an http or https address"),
        ("s3://bucket/m.gguf", "cannot be fetched"),
        ("file:///etc/passwd", "cannot be fetched"),
        ("Qwen/Qwen3-0.6B-GGUF", "there is no file Qwen/Qwen3-0.6B-GGUF; for Hugging Face write hf:Qwen/"),
        ("./absent.gguf", "there is no file ./absent.gguf"),
    ],
)
def test_what_cannot_be_fetched(text: str, saying: str) -> None:
    with pytest.raises(FetchError) as failure:
        parse_address(text)
    assert saying in failure.value.message
