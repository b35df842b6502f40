"""What makes a file no batch is told with its line; what is long is never held."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.errors import ModelNotFoundError
from pennyweight.jobs.batch_input import MAX_ERRORS, InputLimits, read_input
from pennyweight.jobs.batch_line import ENDPOINTS
from pennyweight.jobs.line_order import grouped, start_key
from tests.jobs.requests import CHAT, chat_line, jsonl

if TYPE_CHECKING:
    from pennyweight.jobs.batch_input import BatchInput, InputError

SMALL = InputLimits(max_lines=5, max_bytes=2000, max_line_bytes=400, max_embedding_inputs=4)


def check(
    raw: bytes,
    *,
    urls: tuple[str, ...] = ENDPOINTS,
    limits: InputLimits | None = None,
    served: str = "gpt-4o-mini",
) -> tuple[BatchInput, list[InputError]]:
    names = {served: served, "its-alias": served, "another": "another"}

    def check_model(_: str, model: str) -> str:
        if model in names:
            return names[model]
        raise ModelNotFoundError(f"The model '{model}' does not exist here.", param="model")

    return read_input(io.BytesIO(raw), urls=urls, check_model=check_model, limits=limits or InputLimits())


def embedding(number: int, given: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "input": given}
    return {"custom_id": str(number), "method": "POST", "url": "/v1/embeddings", "body": body}


def test_a_good_file_is_found_again_line_by_line() -> None:
    lines = [chat_line(number) for number in range(20)]
    raw = b"\xef\xbb\xbf" + jsonl(*lines[:10]) + b"\n \r\n" + jsonl(*lines[10:]).replace(b"\n", b"\r\n")
    batch, errors = check(raw.rstrip())
    assert errors == []
    assert (batch.url, batch.model, len(batch)) == (CHAT, "gpt-4o-mini", 20)
    assert list(batch.numbers) == [*range(1, 11), *range(13, 23)]
    file = io.BytesIO(raw.rstrip())
    for index in reversed(range(20)):
        line = batch.line(file, index)
        assert (line.custom_id, line.body) == (f"r-{index}", lines[index]["body"])


WRONG: list[tuple[dict[str, Any] | str, str, str | None]] = [
    ("{nonsense", "invalid_json_line", None),
    ('{"custom_id": NaN}', "invalid_json_line", None),
    ("[" * 100_000, "invalid_json_line", None),
    ('{"custom_id": ' + "9" * 5000 + "}", "invalid_json_line", None),
    ("[]", "invalid_json_line", None),
    ({**chat_line(1), "custom_id": None}, "missing_required_parameter", "custom_id"),
    ({**chat_line(1), "custom_id": ""}, "invalid_custom_id", "custom_id"),
    ({**chat_line(1), "custom_id": 7}, "invalid_custom_id", "custom_id"),
    ({**chat_line(1), "custom_id": "\ud800"}, "invalid_custom_id", "custom_id"),
    ({**chat_line(1), "method": "GET"}, "invalid_method", "method"),
    ({**chat_line(1), "url": "/v1/embeddings"}, "invalid_url", "url"),
    ({**chat_line(1), "url": ["/v1/x"]}, "invalid_url", "url"),
    ({**chat_line(1), "body": []}, "invalid_type", "body"),
    ({**chat_line(1), "body": {"messages": []}}, "missing_required_parameter", "body.model"),
    ({**chat_line(1), "priority": 1}, "unknown_parameter", "priority"),
    ({**chat_line(1), "\ud800": 1}, "unknown_parameter", "\\ud800"),
    (chat_line(1, model="\udfff"), "mismatched_model", "body.model"),
    (chat_line(1, model="other"), "mismatched_model", "body.model"),
    (chat_line(1, model="another"), "mismatched_model", "body.model"),
    (chat_line(0), "duplicate_custom_id", "custom_id"),
]


@pytest.mark.parametrize(("wrong", "code", "param"), WRONG)
def test_a_wrong_line_is_told_with_its_number(
    wrong: dict[str, Any] | str, code: str, param: str | None
) -> None:
    _, errors = check(jsonl(chat_line(0), "", wrong, chat_line(2)), urls=(CHAT,))
    (error,) = errors
    assert (error.line, error.code, error.param) == (3, code, param)
    assert error.message
    assert set(error.payload()) == {"code", "line", "message", "param"}
    json.dumps(error.payload(), ensure_ascii=False).encode()


def test_bytes_that_are_no_utf_8() -> None:
    _, (error,) = check(jsonl(chat_line(0)) + b'{"custom_id": "\xff"}\n')
    assert (error.line, error.code) == (2, "invalid_json_line")
    assert "UTF-8" in error.message


def test_a_model_nobody_serves_is_told_once() -> None:
    _, (error,) = check(jsonl(*(chat_line(number) for number in range(9))), served="mine")
    assert (error.line, error.code, error.param) == (1, "model_not_found", "body.model")


@pytest.mark.parametrize("raw", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_nothing_is_no_batch(raw: bytes) -> None:
    _, (error,) = check(raw)
    assert (error.code, error.line) == ("empty_file", None)


def test_errors_have_an_end() -> None:
    _, errors = check(b"x\n" * 1000)
    assert [error.line for error in errors] == list(range(1, MAX_ERRORS + 1))


def test_limits() -> None:
    lines = jsonl(*(chat_line(number) for number in range(6)))
    assert check(jsonl(*(chat_line(number) for number in range(5))), limits=SMALL)[1] == []
    _, (error,) = check(lines, limits=SMALL)
    assert (error.code, error.line) == ("too_many_lines", 6)
    _, (error,) = check(lines, limits=replace(SMALL, max_bytes=len(lines) - 1, max_lines=9))
    assert (error.code, error.line) == ("file_too_large", 6)
    _, (error,) = check(jsonl(chat_line(0), "x" * 500, chat_line(1)), limits=SMALL)
    assert (error.code, error.line) == ("line_too_long", 2)


def test_embedding_inputs_are_counted() -> None:
    given: list[Any] = ["one", ["two", "three"], [1, 2, 3]]
    lines = [embedding(number, inputs) for number, inputs in enumerate(given)]
    assert check(jsonl(*lines), limits=SMALL)[1] == []
    _, (error,) = check(jsonl(*lines, embedding(3, "five")), limits=SMALL)
    assert (error.code, error.line) == ("too_many_embedding_inputs", 4)


class LongLine(io.RawIOBase):
    """A gigabyte without a line end, then one."""

    left = 2**30

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(self.left, len(buffer))
        buffer[:size] = b"x" * size
        self.left -= size
        return size


def test_a_line_of_a_gigabyte_is_never_held() -> None:
    tracemalloc.start()
    try:
        _, errors = read_input(
            io.BufferedReader(LongLine(), 2**20),
            urls=ENDPOINTS,
            check_model=lambda *_: "",
            limits=InputLimits(max_bytes=2**40, max_line_bytes=2**20),
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [error.code for error in errors] == ["line_too_long"]
    assert peak < 8 * 2**20


def test_fifty_thousand_lines_in_bounded_memory(tmp_path: Any) -> None:
    path = tmp_path / "many.jsonl"
    with path.open("wb") as file:
        for number in range(0, 50_000, 1000):
            file.write(jsonl(*(chat_line(number + i, user="x" * 200) for i in range(1000))))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            batch, errors = read_input(file, urls=ENDPOINTS, check_model=lambda *_: "", limits=InputLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (errors, len(batch)) == ([], 50_000)
    assert peak < 64 * 2**20


def test_lines_that_begin_alike_become_neighbours() -> None:
    def body(system: str, question: str) -> dict[str, object]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return {"model": "m", "messages": messages, "user": question}

    one, other = "You translate into French. " * 40, "You write SQL. " * 40
    bodies = [body(one if index % 2 else other, f"Question {index}") for index in range(10)]
    order = grouped([start_key(item) for item in bodies])
    assert order == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    nested = [body(one + ("a" * 6000 if index % 2 else ""), f"{index}") for index in range(4)]
    assert grouped([start_key(item) for item in [*nested, bodies[0]]]) == [0, 1, 3, 2, 4]


def test_lines_with_nothing_in_common_keep_their_order() -> None:
    keys = [
        start_key(chat_line(number, messages=f"{number} said something {number}" * 30)["body"])
        for number in range(50)
    ]
    assert grouped(keys) == list(range(50))


def test_a_model_by_several_of_its_names() -> None:
    lines = [chat_line(0), chat_line(1, model="its-alias"), chat_line(2)]
    batch, errors = check(jsonl(*lines))
    assert errors == []
    assert (batch.model, set(batch.models)) == ("gpt-4o-mini", {"gpt-4o-mini", "its-alias"})


def test_a_model_that_is_not_there_is_told_once() -> None:
    _, errors = check(jsonl(chat_line(0, model="none"), chat_line(1, model="none")))
    assert [(error.line, error.code) for error in errors] == [(1, "model_not_found")]
