"""Training files: what is read, what is refused, and that every error names its line."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.tune.dataset import read_preferences, read_supervised
from pennyweight.tune.example import MOST_TOLD, DatasetError
from tests.tune.lines import example, examples, preferences, write_lines

if TYPE_CHECKING:
    from pathlib import Path

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def errors_of(path: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(DatasetError) as caught:
        read_supervised(path)
    return [(error.line, error.message) for error in caught.value.errors]


def test_ten_lines_are_ten_examples(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", examples())
    data = read_supervised(path)
    assert [one.line for one in data.examples] == list(range(1, 11))
    assert data.examples[3].trained == (1,)
    assert (data.num_duplicates, data.warnings("training_file")) == (0, [])
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("lines", "says"),
    [([], "is empty"), (examples()[:9], "has 9 examples; it needs at least 10")],
)
def test_too_few_lines(lines: list[Any], says: str, tmp_path: Path) -> None:
    ((line, message),) = errors_of(write_lines(tmp_path / "a.jsonl", lines))
    assert line is None
    assert says in message


def test_validation_needs_one_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", examples()[:1])
    assert len(read_supervised(path, param="validation_file").examples) == 1


def test_one_bad_line_in_many_is_named(tmp_path: Path) -> None:
    lines: list[object] = [example(f"q{index}", "a") for index in range(2000)]
    lines[1234] = '{"messages": [}'
    ((line, message),) = errors_of(write_lines(tmp_path / "a.jsonl", lines))
    assert line == 1235
    assert "not JSON" in message


def test_all_errors_are_counted_and_the_first_told(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"messages": []}] * (MOST_TOLD + 5))
    with pytest.raises(DatasetError, match=rf"line 1: .* \({MOST_TOLD + 4} more errors\)") as caught:
        read_supervised(path)
    assert (len(caught.value.errors), caught.value.num_errors) == (MOST_TOLD, MOST_TOLD + 5)


def test_duplicates_are_counted_and_kept(tmp_path: Path) -> None:
    data = read_supervised(write_lines(tmp_path / "a.jsonl", [*examples(), *examples()[:3]]))
    assert (len(data.examples), data.num_duplicates) == (13, 3)
    assert "3 lines repeat" in data.warnings("training_file")[0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[]", "no JSON object"),
        ('{"messages": "hi"}', "'messages'"),
        ({"messages": []}, "empty"),
        ({"message": [USER, ANSWER]}, "Unknown parameter: 'message'"),
        ({"messages": [USER]}, "last message is of role 'user'"),
        ({"messages": [{"role": "wizard", "content": "x"}, ANSWER]}, "'wizard'; it may be system"),
        ({"messages": [{"role": "user"}, ANSWER]}, "messages[0].content"),
        ({"messages": [USER, {**ANSWER, "weight": 2}]}, "it may be 0 (not learnt) or 1"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "weight 0: nothing is to be learnt"),
        ({"messages": [{**USER, "weight": 1}, ANSWER]}, "messages[0].weight"),
        ({"messages": [USER, ANSWER], "tools": [{"type": "nothing"}]}, "tools[0].type"),
        ({"messages": [USER, ANSWER], "parallel_tool_calls": 1}, "parallel_tool_calls"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, USER, ANSWER]},
            "must be followed by messages of role 'tool'",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
                    ANSWER,
                ]
            },
            "'image_url': other parts than text",
        ),
    ],
)
def test_what_is_wrong_with_a_line(line: object, says: str, tmp_path: Path) -> None:
    ((number, message),) = errors_of(write_lines(tmp_path / "a.jsonl", [*examples(), line]))
    assert number == 11
    assert says in message


def test_not_utf8(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", examples())
    path.write_bytes(path.read_bytes() + b'{"messages": "\xff"}\n')
    assert errors_of(path) == [(11, "the line is not UTF-8 at byte 14.")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "none.jsonl" in errors_of(tmp_path / "none.jsonl")[0][1]


def test_weights_tools_and_a_last_call(tmp_path: Path) -> None:
    line = {
        "messages": [
            USER,
            {**ANSWER, "weight": 0},
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "assistant", "tool_calls": [CALL], "weight": 1},
        ],
        "tools": TOOLS,
        "parallel_tool_calls": False,
    }
    (*_, last) = read_supervised(write_lines(tmp_path / "a.jsonl", [*examples(), line])).examples
    assert last.trained == (3, 5)
    assert [tool.name for tool in last.conversation.tools] == ["look"]


@pytest.mark.parametrize("names", [("output", "output"), ("completion", "completion")])
def test_both_spellings_of_preferences(names: tuple[str, str], tmp_path: Path) -> None:
    lines = [
        {
            "input": line["input"],
            f"preferred_{names[0]}": line["preferred_output"],
            f"non_preferred_{names[1]}": line["non_preferred_output"],
        }
        for line in preferences()
    ]
    data = read_preferences(write_lines(tmp_path / "a.jsonl", lines))
    assert (data.examples[0].preferred.text, data.examples[0].rejected.text) == ("red", "red red")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preferred_output": None}, "preferred_output"),
        ({"preferred_completion": [ANSWER]}, "another name"),
        ({"preferred_output": [ANSWER, ANSWER]}, "has 2 messages"),
        ({"preferred_output": [USER]}, "is 'user'"),
        ({"input": {"messages": [USER, ANSWER]}}, "nothing to answer"),
        ({"input": None}, "input"),
        ({"other": 1}, "Unknown parameter: 'other'"),
    ],
)
def test_what_is_wrong_with_a_preference(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    lines = [*preferences(), preferences()[0] | changes]
    with pytest.raises(DatasetError) as caught:
        read_preferences(write_lines(tmp_path / "a.jsonl", lines))
    (error,) = caught.value.errors
    assert error.line == 11
    assert says in error.message
