"""`penny batch run`: every line answered once, whatever ends the process in between."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.jobs.places import OFFLINE
from tests.jobs.requests import chat_line, jsonl, read_objects, write_chats
from tests.models.tiny import write_tiny_llama
from tests.store.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny

UNDER_WAY_BYTES = 5 * 4096  # the record of lines that are being answered, and the beginning of the journal


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("batch") / "tiny.gguf")


def texts(lines: list[dict[str, Any]]) -> list[str]:
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def run(penny: Penny, model: Path, source: Path, target: Path) -> Any:
    return penny.run("batch", "run", str(source), str(target), "--model", str(model))


def test_answers_come_in_the_order_of_the_input(penny: Penny, model: Path, tmp_path: Path) -> None:
    lines = [chat_line(0), chat_line(1, nonsense=1), chat_line(2, stream=True), chat_line(3)]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(jsonl(*lines))
    done = run(penny, model, source, target)
    assert done.returncode == 0, done.stderr
    assert "2 of 4 requests were answered; 2 failed" in done.stderr
    assert [line["custom_id"] for line in read_objects(target)] == ["r-0", "r-3"]
    failed = read_objects(tmp_path / "out.errors.jsonl")
    assert [line["response"]["body"]["error"]["param"] for line in failed] == ["nonsense", "stream"]
    assert [line["response"]["status_code"] for line in failed] == [400, 400]
    for line in read_objects(target):
        assert set(line) == {"id", "custom_id", "response", "error"}
        assert line["id"].startswith("batch_req_")
        assert line["error"] is None
    assert not list(tmp_path.glob("out*.partial")) + list(tmp_path.glob("out*.new"))


def test_the_same_command_again_does_nothing(penny: Penny, model: Path, tmp_path: Path) -> None:
    source, target = write_chats(tmp_path / "in.jsonl", 5), tmp_path / "out.jsonl"
    assert run(penny, model, source, target).returncode == 0
    first = target.read_bytes()
    again = penny.run("batch", "run", str(source), str(target), "--model", "no/such/model")
    assert (again.returncode, target.read_bytes()) == (0, first)
    write_chats(source, 6)
    changed = run(penny, model, source, target)
    assert changed.returncode == 1
    assert "does not hold the answers" in changed.stderr
    assert target.read_bytes() == first


def test_wrong_lines_are_told_before_a_model_is_opened(penny: Penny, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl(chat_line(0), "{", chat_line(0)))
    done = penny.run("batch", "run", str(source), str(tmp_path / "out.jsonl"), "--model", "no/such/model")
    assert done.returncode == 1
    assert "line 2: The line is not valid JSON" in done.stderr
    assert "line 3: The custom_id 'r-0' is a duplicate" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_is_not_there(penny: Penny, model: Path, tmp_path: Path) -> None:
    source = write_chats(tmp_path / "in.jsonl", 2, model="gpt-17")
    done = run(penny, model, source, tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "gpt-17" in done.stderr


def test_models_by_several_names(penny: Penny, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl(chat_line(0), chat_line(1, model="mine")))
    command = ("batch", "run", str(source), str(tmp_path / "out.jsonl"), "--model", str(model))
    assert penny.run(*command, "--alias", f"mine={model.stem}", "--threads", "1").returncode == 0
    assert len(read_objects(tmp_path / "out.jsonl")) == 2


def test_a_folder_that_is_not_there(penny: Penny, model: Path, tmp_path: Path) -> None:
    source = write_chats(tmp_path / "in.jsonl", 2)
    done = run(penny, model, source, tmp_path / "none" / "out.jsonl")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_killed_again_and_again_every_line_is_answered_once(
    penny: Penny, model: Path, tmp_path: Path
) -> None:
    """The checker compares the output with the input, and the texts with those of an undisturbed run."""
    source, target = write_chats(tmp_path / "in.jsonl", 300, max_tokens=20), tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    kills = 0
    for lines in (20, 90, 160, 230):
        process = penny.start("batch", "run", str(source), str(target), "--model", str(model))
        deadline = time.monotonic() + 60
        while process.poll() is None and (not partial.exists() or partial.read_bytes().count(b"\n") < lines):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if partial.exists():  # as if the last record had been cut off
            partial.write_bytes(partial.read_bytes()[:-7])
    assert kills >= 2
    assert run(penny, model, source, target).returncode == 0
    assert [line["custom_id"] for line in read_objects(target)] == [f"r-{number}" for number in range(300)]
    assert run(penny, model, source, tmp_path / "calm.jsonl").returncode == 0
    assert texts(read_objects(target)) == texts(read_objects(tmp_path / "calm.jsonl"))


def test_killed_after_every_durable_write(penny: Penny, model: Path, tmp_path: Path) -> None:
    """Every run goes on with what the one before left, and dies at the next place."""
    lines = [chat_line(number, **({"nonsense": 1} if number == 7 else {})) for number in range(20)]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(jsonl(*lines))
    command = ("batch", "run", str(source), str(target), "--model", str(model), "--threads", "1")
    for place in OFFLINE:
        wanted = f"{place}@9" if place == "offline.answered" else place
        process = penny.start(*command, PENNYWEIGHT_FAILPOINT=wanted)
        _, told = process.communicate()
        assert process.returncode == -signal.SIGKILL, (place, told)
        assert target.exists() == (place in ("offline.placed", "offline.ended"))
    done = penny.run(*command)
    assert (done.returncode, "19 of 20" in done.stderr) == (0, True)
    assert [line["custom_id"] for line in read_objects(target)] == [f"r-{n}" for n in range(20) if n != 7]
    assert [line["custom_id"] for line in read_objects(tmp_path / "out.errors.jsonl")] == ["r-7"]
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.errors.jsonl", "out.jsonl"]
    assert run(penny, model, source, tmp_path / "calm.jsonl").returncode == 0
    assert texts(read_objects(target)) == texts(read_objects(tmp_path / "calm.jsonl"))


@pytest.mark.parametrize("room", [0.0, 0.5, 1.5])
def test_a_full_disk(penny: Penny, model: Path, tmp_path: Path, room: float) -> None:
    """Full at the start, among the lines, and where the output is put together: what was done is kept."""
    source = write_chats(tmp_path / "in.jsonl", 60)
    assert run(penny, model, source, tmp_path / "calm.jsonl").returncode == 0
    num_bytes = (tmp_path / "calm.jsonl").stat().st_size
    with small_disk(tmp_path / "disk", num_bytes=2**20) as disk:
        target = disk / "out.jsonl"
        filler = fill_up(disk, leave=int(room and UNDER_WAY_BYTES + room * num_bytes))
        done = run(penny, model, source, target)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert not target.exists()
        assert not list(disk.glob("*.new")), "what is half made takes no room"
        filler.unlink()
        assert run(penny, model, source, target).returncode == 0
        assert [line["custom_id"] for line in read_objects(target)] == [f"r-{n}" for n in range(60)]
        assert texts(read_objects(target)) == texts(read_objects(tmp_path / "calm.jsonl"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.errors.jsonl", "a.jsonl.partial", "a.jsonl.under-way"])
def test_the_input_is_not_written_over(penny: Penny, model: Path, tmp_path: Path, name: str) -> None:
    source = write_chats(tmp_path / name, 2)
    before = source.read_bytes()
    done = run(penny, model, source, tmp_path / "a.jsonl")
    assert (done.returncode, source.read_bytes()) == (1, before)
    assert "is the input" in done.stderr
