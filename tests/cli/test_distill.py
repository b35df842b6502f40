"""`penny distill`: answers become lessons, the student learns them; the same command again does nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("distill") / "tiny.gguf")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {number}"}) + "\n" for number in range(30)))
    return path


def test_a_wish_that_makes_no_sense(penny: Penny, prompts: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{")
    schema = tmp_path / "schema.json"
    schema.write_text("[]")
    for told, *flags in (
        ("either --prompts", "--teacher", "t"),
        ("either --prompts", "--teacher", "t", "--prompts", str(prompts), "--stored", "a=b"),
        ("with --teacher", "--prompts", str(prompts)),
        ("line 1", "--teacher", "t", "--prompts", str(bad)),
        ("JSON object", "--teacher", "t", "--prompts", str(prompts), "--schema", str(schema)),
        ("KEY=VALUE", "--stored", "task"),
        ("none is held out", "--stored", "task=sum"),
    ):
        work = tmp_path / "work" / str(len(flags)) / told.replace(" ", "-")
        done = penny.run("distill", "--student", "s", "--work", str(work), *flags)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr


def test_a_student_learns_what_was_right(penny: Penny, model: Path, prompts: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    work = tmp_path / "work"
    judge = "import sys, json\nfor line in sys.stdin: print(len(json.loads(line)['answer']))"
    flags = ("--teacher", str(model), "--student", str(model), "--prompts", str(prompts), "--work", str(work))
    properties = {"on": {"type": "boolean"}, "at": {"type": "string", "maxLength": 4}}
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": properties,
                "required": ["on", "at"],
                "additionalProperties": False,
            }
        )
    )
    asked = (
        "--samples",
        "2",
        "--schema",
        str(schema),
        "--epochs",
        "1",
        "--held-out",
        "0.3",
        "--threads",
        "1",
    )
    check = ("--check", f'{sys.executable} -c "{judge}"', "--temperature", "1")
    first = penny.run("distill", *flags, *asked, *check)
    assert first.returncode == 0, first.stderr
    rows = json.loads((work / "table.json").read_text())
    assert [row["name"] for row in rows] == ["teacher", "student before", "student after"]
    assert rows[2]["model"].startswith("ft:tiny:pennyweight:distilled:")
    again = penny.run("distill", *flags, *asked, *check)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    other = penny.run("distill", *flags, *asked, *check, "--seed", "2")
    assert "another seed" in other.stderr
