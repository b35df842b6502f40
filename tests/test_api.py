"""`pennyweight.Engine` as a program uses it, on a tiny model."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import pennyweight
from pennyweight import Answer, Engine, PennyweightError
from pennyweight.errors import (
    ConfigError,
    ContextLengthError,
    InvalidRequestError,
    ModelNotFoundError,
)
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def engine(tiny_llama_path: Path) -> Iterator[Engine]:
    with Engine.open(tiny_llama_path, parallel=4, threads=1) as engine:
        yield engine


def test_chat(engine: Engine) -> None:
    answer = engine.chat([{"role": "user", "content": "Hi"}], seed=1, max_tokens=9)
    assert isinstance(answer, Answer)
    assert answer.text
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens == 9
    assert answer.timings.ttft_s > 0
    assert engine.chat("Hi", seed=1, max_tokens=9).text == answer.text


def test_a_stream_says_what_chat_says(engine: Engine) -> None:
    pieces = list(engine.stream("Hi", seed=2, max_tokens=40))
    assert "".join(pieces) == engine.chat("Hi", seed=2, max_tokens=40).text


def test_generate_continues_the_bare_prompt(engine: Engine) -> None:
    answer = engine.generate("abc", max_tokens=2)
    assert answer.usage.prompt_tokens == 3


def test_wrong_arguments_raise_at_once(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="Did you mean 'temperature'"):
        engine.chat("Hi", temprature=0)
    with pytest.raises(InvalidRequestError, match="'n'"):
        engine.chat("Hi", n=2)
    with pytest.raises(InvalidRequestError, match="top_k"):
        engine.stream("Hi", top_k=-1)
    with pytest.raises(InvalidRequestError, match="messages"):
        engine.chat([{"role": "user", "content": "Hi", "colour": "red"}])
    with pytest.raises(InvalidRequestError, match="messages"):
        engine.chat([])


def test_leaving_a_stream_stops_the_answer(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf", context_length=32_768)
    with Engine.open(path, parallel=1, threads=1) as engine:
        for _ in engine.stream("Hi", ignore_eos=True):
            break
        engine.generate("Hi", max_tokens=1)  # waits its turn behind whatever still runs
        assert engine.stats().running == 0
        assert engine.stats().generated_tokens < 16_384


def test_many_threads(engine: Engine) -> None:
    alone = [engine.chat(f"Number {i}", seed=i, max_tokens=20).text for i in range(8)]
    together = [""] * 8

    def ask(index: int) -> None:
        together[index] = engine.chat(f"Number {index}", seed=index, max_tokens=20).text

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_closed_engine(tiny_llama_path: Path) -> None:
    engine = Engine.open(tiny_llama_path)
    engine.close()
    engine.close()
    with pytest.raises(PennyweightError, match="closed"):
        engine.chat("Hi")


def test_opening(tiny_llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="no model 'nothing'"):
        Engine.open("nothing")
    # A model with terms of its own is never fetched without being asked about.
    with pytest.raises(ModelNotFoundError, match="penny pull gemma-3-270m"):
        Engine.open("gemma-3-270m")
    with pytest.raises(ConfigError, match="made for 512"):
        Engine.open(tiny_llama_path, context=1024)
    seen: list[tuple[str, int, int]] = []
    with Engine.open(tiny_llama_path, context=256, progress=lambda *step: seen.append(step)) as engine:
        assert engine.context == 256
        assert engine.name == "tiny-llama"
        assert engine.can_chat
        assert engine.suggested_sampling == {}
    assert seen[-1][0] == "load"
    assert seen[-1][1] == seen[-1][2]


def test_equal_fingerprints_mean_equal_answers(engine: Engine, tiny_llama_path: Path, tmp_path: Path) -> None:
    other = write_tiny_llama(tmp_path / "other.gguf", seed=1)
    with Engine.open(tiny_llama_path) as same, Engine.open(other) as different:
        assert same.fingerprint == engine.fingerprint
        assert different.fingerprint != engine.fingerprint


def test_the_package_offers_what_it_names() -> None:
    assert pennyweight.Engine is Engine
    assert pennyweight.__version__
    assert "Engine" in dir(pennyweight)
    with pytest.raises(AttributeError):
        pennyweight.nothing  # noqa: B018


@pytest.mark.parametrize(
    "wrong",
    [{"context": 0}, {"parallel": -5}, {"threads": "two"}, {"context": 1.5}],
    ids=str,
)
def test_wrong_sizes(tiny_llama_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be a whole number from 1"):
        Engine.open(tiny_llama_path, **wrong)


@pytest.mark.parametrize("messages", [5, None, ["hi"], [{"role": "user", "content": 3}]], ids=str)
def test_what_is_no_conversation(engine: Engine, messages: Any) -> None:
    with pytest.raises(InvalidRequestError, match="messages"):
        engine.chat(messages)


def test_what_is_no_prompt(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="prompt must be a text"):
        engine.generate(None)  # type: ignore[arg-type]


def test_megabytes_are_refused_unread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length alone says that they cannot fit: neither the template nor the tokenizer sees them."""
    monkeypatch.setattr(type(engine.answerer._tokenizer), "encode_parts", None)
    with pytest.raises(ContextLengthError, match="at least"):
        engine.generate("1" * 4_000_000)
    with pytest.raises(ContextLengthError, match="at least 20000 tokens"):
        engine.chat([{"role": "user", "content": ""}] * 20_000)
