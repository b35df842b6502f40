"""Events of several prompts become one `text_completion` object, or its chunks; scores keep their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.completion_prompts import EncodedPrompt
from pennyweight.answers.completion_response import CompletionChunks, CompletionIdentity, completion
from pennyweight.answers.completion_schema import parse_completion
from pennyweight.answers.events import Accepted, Finished, PromptToken, TextDelta, TokenDetail
from pennyweight.core import Timings, Usage
from tests.answers.scripted_engine import byte_token, read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.answers.events import AnswerEvent
    from pennyweight.text.tokenizer import Tokenizer

IDENTITY = CompletionIdentity(model="m", fingerprint="fp", id="cmpl-1", created=5)
Events = list[tuple[int, "AnswerEvent"]]


@pytest.fixture(scope="module")
def tokenizer(tiny_llama_path: Path) -> Tokenizer:
    return read_tokenizer(tiny_llama_path)


@pytest.fixture(scope="module")
def spm(tiny_gemma_path: Path) -> Tokenizer:
    return read_tokenizer(tiny_gemma_path)


def encoded(text: str) -> EncodedPrompt:
    tokens = tuple(byte_token(byte) for byte in text.encode())
    return EncodedPrompt(tokens=tokens, text=text, shows_control=False)


def details(data: bytes, logprob: float = -1.0) -> tuple[TokenDetail, ...]:
    return tuple(
        TokenDetail(bytes([byte]), logprob, (TokenDetail(b"#", -0.5), TokenDetail(bytes([byte]), logprob)))
        for byte in data
    )


def scored(prompt: EncodedPrompt) -> tuple[PromptToken, ...]:
    data = prompt.text.encode()
    return tuple(
        PromptToken(token, data[i : i + 1], None if i == 0 else -2.0, (TokenDetail(b"#", -0.5),) if i else ())
        for i, token in enumerate(prompt.tokens)
    )


def finished(choice: int = 0, **fields: Any) -> Finished:
    usage = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    return Finished(**{"choice": choice, "reason": "stop", "usage": usage, "timings": Timings(), **fields})


def test_every_prompt_has_its_choices_and_counts_once(tokenizer: Tokenizer) -> None:
    request = parse_completion({"model": "m", "prompt": ["ab", "cd"], "n": 2})
    events: Events = [
        (1, Accepted(prompt_tokens=2)),
        (1, TextDelta(0, "2")),
        (0, Accepted(prompt_tokens=2)),
        (0, TextDelta(1, "1")),
        (1, finished(1)),
        (0, finished(0, reason="length")),
        (0, TextDelta(1, "!")),
        (0, finished(1)),
        (1, finished(0)),
    ]
    body = completion(events, IDENTITY, request, [encoded("ab"), encoded("cd")], tokenizer)
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [
        (0, ""),
        (1, "1!"),
        (2, "2"),
        (3, ""),
    ]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["length", "stop", "stop", "stop"]
    assert all(choice["logprobs"] is None for choice in body["choices"])
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (6, 8, 14)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2
    assert (body["id"], body["object"], body["created"], body["model"]) == (
        "cmpl-1",
        "text_completion",
        5,
        "m",
    )


def test_scores_of_prompt_answer_and_end_stand_in_one_row(tokenizer: Tokenizer) -> None:
    request = parse_completion({"model": "m", "prompt": "é!", "echo": True, "logprobs": 1})
    prompt = encoded("é!")
    end = TokenDetail(b"<|end|>", -0.1, (TokenDetail(b"<|end|>", -0.1),))
    events: Events = [
        (0, Accepted(prompt_tokens=3)),
        (0, TextDelta(0, "ü", details("ü".encode()))),
        (0, TextDelta(0, "x", details(b"x"))),
        (0, finished(prompt=scored(prompt), end=end)),
    ]
    (choice,) = completion(events, IDENTITY, request, [prompt], tokenizer)["choices"]
    assert choice["text"] == "é!üx"
    scores = choice["logprobs"]
    assert scores["tokens"] == [
        "bytes:\\xc3",
        "bytes:\\xa9",
        "!",
        "bytes:\\xc3",
        "bytes:\\xbc",
        "x",
        "<|end|>",
    ]
    assert scores["text_offset"] == [0, 0, 1, 2, 2, 3, 4]
    assert scores["token_logprobs"] == [None, -2.0, -2.0, -1.0, -1.0, -1.0, -0.1]
    assert scores["top_logprobs"][0] is None
    assert scores["top_logprobs"][2] == {"#": -0.5, "!": -2.0}
    assert scores["top_logprobs"][5] == {"#": -0.5, "x": -1.0}


@pytest.mark.parametrize("logprobs", [None, 1])
@pytest.mark.parametrize("echo", [False, True])
def test_the_chunks_of_a_stream_add_up_to_the_whole(
    tokenizer: Tokenizer, echo: bool, logprobs: int | None
) -> None:
    body = {
        "model": "m",
        "prompt": "ab",
        "echo": echo,
        "logprobs": logprobs,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request, prompt = parse_completion(body), encoded("ab")
    pieces = details if logprobs else lambda _: ()
    events: Events = [
        (0, Accepted(prompt_tokens=2)),
        (0, TextDelta(0, "c", pieces(b"c"))),
        (0, TextDelta(0, "d", pieces(b"d"))),
        (0, finished(prompt=scored(prompt) if logprobs else None)),
    ]
    whole = completion(events, IDENTITY, request, [prompt], tokenizer)
    making = CompletionChunks(IDENTITY, request, [prompt], tokenizer)
    chunks = [chunk for number, event in events for chunk in making.of(number, event)]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    parts = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    (choice,) = whole["choices"]
    assert "".join(part["text"] for part in parts) == choice["text"] == ("abcd" if echo else "cd")
    assert [part["finish_reason"] for part in parts[:-1]] == [None] * (len(parts) - 1)
    assert parts[-1]["finish_reason"] == "stop"
    if logprobs is None:
        assert all(part["logprobs"] is None for part in parts)
        return
    for name, values in choice["logprobs"].items():
        assert [value for part in parts for value in part["logprobs"][name]] == values


def test_places_of_a_vocabulary_that_marks_its_spaces(spm: Tokenizer) -> None:
    text = "the the"
    tokens = tuple(spm.encode_parts([], add_bos=True) + spm.encode(text))
    for shows_control in (False, True):
        shown = spm.decode(tokens, skip_special=not shows_control)
        prompt = EncodedPrompt(tokens=tokens, text=shown, shows_control=shows_control)
        body = {"model": "m", "prompt": list(tokens), "echo": True, "logprobs": 0, "max_tokens": 0}
        row = tuple(PromptToken(token, spm.token_bytes(token), -1.0) for token in tokens)
        events: Events = [(0, finished(prompt=row, reason="length"))]
        (choice,) = completion(events, IDENTITY, parse_completion(body), [prompt], spm)["choices"]
        offsets = choice["logprobs"]["text_offset"]
        for token, start, stop in zip(tokens, offsets, [*offsets[1:], len(shown)], strict=True):
            piece = shown[start:stop]
            assert spm.token_bytes(token).decode().endswith(piece)
        assert choice["text"] == shown
