"""Lines under way when a process dies: suspected, run alone, and in the end not run again."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.jobs.lines_under_way import MAX_DEATHS, LinesUnderWay
from tests.jobs import impaired
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.service import GONE, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def died(path: Path, *running: tuple[str, int]) -> None:
    """What a process leaves that begins these lines and is killed."""
    with LinesUnderWay(path) as under_way, ExitStack() as stack:
        for line in running:
            stack.enter_context(under_way.running(*line))
        left = path.read_bytes()
    path.write_bytes(left)


def suspects(path: Path, batch_id: str = "batch_a", numbers: range = range(300)) -> list[int]:
    with LinesUnderWay(path) as under_way:
        return [number for number in numbers if under_way.is_suspect(batch_id, number)]


def test_who_ends_on_its_own_terms_accuses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with LinesUnderWay(path) as under_way:
        with under_way.running("batch_a", 1), under_way.running("batch_a", 2):
            pass
        with pytest.raises(KeyError), under_way.running("batch_a", 3):
            raise KeyError
    assert suspects(path) == []


def test_a_crowd_is_suspected_and_only_who_ran_alone_is_blamed(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    died(path, *(("batch_a", number) for number in range(200)))
    assert suspects(path) == list(range(200))
    for death in range(MAX_DEATHS):
        with LinesUnderWay(path) as under_way:
            assert under_way.refusal("batch_a", 7) is None, death
        died(path, ("batch_a", 7))
    with LinesUnderWay(path) as under_way:
        refusal = under_way.refusal("batch_a", 7)
        assert refusal is not None
        assert (refusal.status, refusal.code) == (500, "process_died")
        assert under_way.refusal("batch_a", 8) is None
        under_way.forget("batch_a")
    assert suspects(path) == []


def test_a_suspect_that_was_cancelled_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    died(path, ("batch_a", 1), ("batch_b", 1))
    with LinesUnderWay(path) as under_way, under_way.running("batch_a", 1):
        pass
    assert suspects(path) == [1]
    with LinesUnderWay(path) as under_way:
        under_way.forget("batch_a")
    assert suspects(path) == []
    assert suspects(path, "batch_b") == [1]


def test_the_file_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with LinesUnderWay(path) as under_way:
        size = path.stat().st_size
        for number in range(10_000):
            with under_way.running("batch_a", number):
                pass
    assert path.stat().st_size == size


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


def begun(service: Service, wrong: str, lines: list[dict[str, Any]]) -> str:
    """A batch of a server that was started for it."""
    service.start(wrong=[wrong])
    file = service.client.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")
    batch = service.client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    return batch.id


def num_deaths(service: Service, wrong: str, batch_id: str) -> int:
    """Start it as often as it dies; until the batch has ended."""
    deaths = 0
    while deaths <= MAX_DEATHS + 2:
        try:
            service.ended(batch_id)
        except GONE:
            assert service.wait_until_dead() < 0
            deaths += 1
            service.start(wrong=[wrong])
        else:
            return deaths
    raise AssertionError("it dies for ever")


def test_a_line_that_ends_the_process_each_time_fails_alone(service: Service) -> None:
    lines = [chat_line(number) for number in range(40)]
    lines[17]["custom_id"] += impaired.DEADLY
    batch_id = begun(service, "deadly_lines", lines)
    assert num_deaths(service, "deadly_lines", batch_id) == 1 + MAX_DEATHS, "once in company, then alone"
    client = service.client
    batch = client.batches.retrieve(batch_id)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 39, 1)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    answered = {
        json.loads(line)["custom_id"]
        for line in client.files.content(batch.output_file_id).read().splitlines()
    }
    assert answered == {line["custom_id"] for line in lines if impaired.DEADLY not in line["custom_id"]}
    (failed,) = client.files.content(batch.error_file_id).read().splitlines()
    told = json.loads(failed)
    assert told["custom_id"] == lines[17]["custom_id"]
    assert told["response"]["status_code"] == 500
    assert told["response"]["body"]["error"]["code"] == "process_died"
    assert "3 times" in told["response"]["body"]["error"]["message"]
    service.stop()
    assert suspects(service.folder / "lines-under-way", batch_id) == []


def test_an_input_that_ends_the_process_each_time_fails_its_batch(service: Service) -> None:
    batch_id = begun(service, "deadly_input", [chat_line(1)])
    assert num_deaths(service, "deadly_input", batch_id) == 1 + MAX_DEATHS
    batch = service.client.batches.retrieve(batch_id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert batch.errors.data[0].code == "process_died"
