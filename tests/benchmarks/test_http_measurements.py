"""The HTTP side, end to end on a tiny model: a real server process, the real client, every kind of task."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.contenders import ROOT
from benchmarks.http_client import run
from benchmarks.http_tasks import Disturbed, FirstToken, LongPrompt, Streams, gaps, measure_server
from benchmarks.servers import RunningServer, ServerCommand, penny_serve, running
from benchmarks.texts import Passages
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "Once there was a small model that answered every question. " * 500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = write_tiny_llama(tmp_path_factory.mktemp("http") / "tiny.gguf", context_length=8192)
    with running(penny_serve(path, folder=ROOT, threads=1, isa=None)) as server:
        yield server


def _request(server: RunningServer, *, role: str = "foreground", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    full = {"model": server.model, "messages": messages, "max_tokens": 8, "ignore_eos": True, **body}
    return {"after_s": 0.0, "role": role, "body": full}


def test_the_client_sees_every_event_and_the_usage(server: RunningServer) -> None:
    [seen] = asyncio.run(run(server.url, [_request(server)]))
    assert seen["completion_tokens"] == 8
    assert seen["prompt_tokens"] > 1
    assert 1 <= len(seen["times_s"]) <= 9  # a character of several tokens is one event
    assert seen["times_s"] == sorted(seen["times_s"])
    assert seen["times_s"][0] >= seen["sent_s"]


def test_a_background_answer_is_left_when_the_others_are_complete(server: RunningServer) -> None:
    requests = [_request(server, role="background", max_tokens=8000), _request(server)]
    left, complete = asyncio.run(run(server.url, requests))
    assert left["completion_tokens"] == 0
    assert complete["completion_tokens"] == 8


def test_a_refused_request_says_why(server: RunningServer) -> None:
    with pytest.raises(RuntimeError, match="temperature"):
        asyncio.run(run(server.url, [_request(server, temperature=9)]))


@pytest.mark.parametrize("reports", ["speed", "python"])
def test_streams(server: RunningServer, reports: Any) -> None:
    task = Streams(streams=3, prompt_tokens=16, tokens=4, sampling="sampled", reports=reports)
    sample = task.measure(server, Passages(TEXT))
    assert sample.value >= 0
    assert sample.also["prompt_tokens"] > 3 * 16


def test_first_token(server: RunningServer) -> None:
    sample = FirstToken(prefix_tokens=100, repeats=2, tokens=2).measure(server, Passages(TEXT))
    assert 0 < sample.value <= sample.also["slowest_ms"]


def test_disturbed(server: RunningServer) -> None:
    task = Disturbed(prompts=(300, 300), interval_s=0.01, lead_s=0.2, stream_tokens=3000)
    sample = task.measure(server, Passages(TEXT))
    assert 0 < sample.value <= sample.also["slowest_ms"]
    assert sample.also["prompt_rate_share"] > 0


@pytest.mark.parametrize("reports", ["prompt", "decode"])
def test_long_prompt(server: RunningServer, reports: Any) -> None:
    # long enough not to arrive in one piece: a tiny model writes a token in a tenth of a millisecond
    task = LongPrompt(reports=reports, prompt_tokens=200, tokens=1000)
    sample = task.measure(server, Passages(TEXT))
    assert sample.value > 0
    assert sample.also["prompt_tokens"] > 200


def test_gaps_are_those_that_overlap_the_span() -> None:
    assert gaps([0.0, 1.0, 3.0, 4.0, 9.0], 2.0, 3.5) == [2.0, 1.0]


def test_without_the_text_the_row_is_told_to_be_impossible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENNYWEIGHT_SHARED", str(tmp_path))
    with pytest.raises(RuntimeError, match="passages"):
        measure_server(ServerCommand(arguments=("false",)), Streams())


def test_a_server_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "text"
    folder.mkdir(parents=True)
    with gzip.open(folder / "wiki_en.txt.gz", "wt", encoding="utf-8") as file:
        file.write(TEXT)
    monkeypatch.setenv("PENNYWEIGHT_SHARED", str(tmp_path))
    with pytest.raises(RuntimeError, match="ended with 1"):
        measure_server(ServerCommand(arguments=("false",)), Streams())


def test_passages_are_used_once_and_end_with_a_word() -> None:
    passages = Passages(TEXT)
    first, second = passages.take(10), passages.take(10)
    assert TEXT.startswith(f"{first} {second} ")
    with pytest.raises(ValueError, match="no further"):
        passages.take(100_000)
