"""Cost against context: a short run is real, goes on where it stopped, and becomes a section of the page."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.context import CONTEXTS, Record, measure_contexts, measure_longest
from benchmarks.context_table import TITLE, section
from tests.house.sources import ROOT
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"processor": "P", "cores": 2, "date": "2026-11-22"}


def _at(context: int, speed: float) -> dict[str, float]:
    return {
        "context": context,
        "decode_ms": 1000 / speed,
        "decode_tokens_per_second": speed,
        "decode_bound": 0.8,
        "prompt_tokens_per_second": 10 * speed,
    }


def _report(**changes: Any) -> dict[str, Any]:
    rounds = [[_at(1024, speed), _at(2048, speed / 2)] for speed in (100, 300, 200)]
    longest = {
        "prompt_tokens": 131000,
        "prompt_seconds": 60.4,
        "decode_ms": 9.51,
        "kv_mib": 80.0,
        "resident_mib": 190.2,
    }
    return {"machine": MACHINE, "contexts": rounds, "longest": [longest], **changes}


def test_a_row_per_depth_with_median_and_spread() -> None:
    lines = section(_report())
    assert "| 1,024 | 200 (100-300) | 5.00 | 80% | 2,000 (1,000-3,000) |" in lines
    assert "| 2,048 | 100 (50-150) | 10.00 | 80% | 1,000 (500-1,500) |" in lines
    text = "\n".join(lines)
    assert "of 3 rounds, 2026-11-22" in text
    assert "131,000 tokens" in text
    assert "60.4 s to the first token" in text


def test_a_file_with_one_part_is_a_section_too() -> None:
    assert "through the whole engine" not in "\n".join(section(_report(longest=[])))
    assert section(_report(contexts=[]))[0] == TITLE


def test_the_page_has_the_section_where_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    assert TITLE not in table.current_document(context=path)
    path.write_text(json.dumps(_report()), encoding="utf-8")
    assert "(1 round).\n" in table.current_document(context=path)


def test_a_short_run_measures(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "tiny.gguf", context_length=4096)
    [row] = measure_contexts(model, CONTEXTS[:1])
    assert row.context == 1024
    assert row.decode_ms > 0
    longest = measure_longest(256)
    assert longest.prompt_tokens == 256 - 72
    assert longest.resident_mib > longest.kv_mib > 0


def test_rounds_are_kept_and_a_complete_file_measures_nothing(tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    for part in ("longest", "contexts"):
        Record(path, fresh=False).add(part, [])
    assert Record(path, fresh=False).count("contexts") == 1
    assert Record(path, fresh=True).count("contexts") == 0
    before = path.read_text(encoding="utf-8")
    program = (sys.executable, "-m", "benchmarks.context", "--rounds", "1", "--output", str(path))
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("complete"), done.stderr
    assert path.read_text(encoding="utf-8") == before
