"""Prompts are read once each, and held back by what they say alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.distillation.prompts import read_prompts
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_both_forms_of_a_prompt_are_one(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Why?"}]
    system = [{"role": "system", "content": "Be brief."}, *messages]
    path = write(tmp_path / "p.jsonl", {"prompt": "Why?"}, {"messages": messages}, "", {"messages": system})
    prompts = read_prompts(path, held_out=0.5)
    assert prompts.num_repeated == 1
    assert sorted(len(prompt.messages) for prompt in prompts.all) == [1, 2]


def test_a_prompt_is_held_back_wherever_it_stands(tmp_path: Path) -> None:
    lines = [{"prompt": f"Question {number}?"} for number in range(200)]
    one = read_prompts(write(tmp_path / "a.jsonl", *lines), held_out=0.25)
    other = read_prompts(write(tmp_path / "b.jsonl", *lines[::-1][:150]), held_out=0.25)
    assert 30 < len(one.held_out) < 70
    assert {prompt.key for prompt in other.held_out} < {prompt.key for prompt in one.held_out}
    assert not {prompt.key for prompt in one.lessons} & {prompt.key for prompt in one.held_out}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not valid JSON"),
        ('{"prompt": ""}', "not empty"),
        ('{"prompt": 5}', "must be a text"),
        ('{"prompt": "a", "messages": []}', "either 'prompt' or 'messages'"),
        ('{"text": "a"}', "either 'prompt' or 'messages'"),
        ('{"messages": []}', "is empty"),
        ('{"messages": [{"role": "king", "content": "a"}]}', "role"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "an answer already"),
        (json.dumps({"prompt": "x" * 2**21}), "longer than"),
    ],
)
def test_what_is_no_prompt_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path / "p.jsonl", {"prompt": "Why?"}, line)
    with pytest.raises(ConfigError, match="line 2") as caught:
        read_prompts(path, held_out=0.5)
    assert told in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompts(tmp_path / "none.jsonl", held_out=0.5)
