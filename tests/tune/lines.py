"""Training files for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLOURS = ("red", "blue", "green", "grey", "pink", "teal", "gold", "plum", "rust", "sand")


def example(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def preference(question: str, preferred: str, rejected: str) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": question}]},
        "preferred_output": [{"role": "assistant", "content": preferred}],
        "non_preferred_output": [{"role": "assistant", "content": rejected}],
    }


def examples() -> list[dict[str, Any]]:
    """Ten that can be learnt by heart."""
    return [example(f"colour {index}?", colour) for index, colour in enumerate(COLOURS)]


def preferences() -> list[dict[str, Any]]:
    """Ten, in which the shorter answer is preferred."""
    return [preference(f"colour {i}?", colour, f"{colour} {colour}") for i, colour in enumerate(COLOURS)]


def write_lines(path: Path, lines: Iterable[object]) -> Path:
    """A text is written as it is, anything else as JSON."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path
