"""What is generated or said twice agrees with where it comes from."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from typing import Any

import pytest

from benchmarks import table
from tests.house.sources import ROOT, tracked_files


def _project() -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = settings["project"]
    return project


def test_changelog_starts_with_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", text, flags=re.MULTILINE)
    assert versions[0] == _project()["version"]


def test_cli_page_is_what_the_commands_say() -> None:
    render = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))["render"]
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == render(), "run `make docs`"


def test_api_page_is_what_the_server_reads() -> None:
    render = runpy.run_path(str(ROOT / "docs" / "generate_api.py"))["render"]
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == render(), "run `make docs`"


def test_readme_table_is_the_recorded_results() -> None:
    readme = table.README.read_text(encoding="utf-8")
    assert table.START in readme
    assert table.updated(readme, table.current_table()) == readme, "run `make docs`"


def test_benchmark_page_is_the_recorded_results() -> None:
    page = table.DOCUMENT.read_text(encoding="utf-8")
    assert page == table.current_document(), "run `make docs`"


def test_tuning_page_is_what_the_examples_measured() -> None:
    updated = runpy.run_path(str(ROOT / "docs" / "generate_tuning.py"))["updated"]
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    assert page == updated(page), "run `make docs`"


def test_every_dependency_has_a_reason() -> None:
    principles = (ROOT / "docs" / "principles.md").read_text(encoding="utf-8")
    project = _project()
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [re.split(r"[<>=!\[ ;]", requirement)[0] for requirement in named]
    assert [name for name in names if f"`{name}`" not in principles] == []


def test_no_file_mentions_the_machine_it_was_written_on() -> None:
    tracked = tracked_files()
    if not tracked:
        pytest.skip("not a git checkout")
    # Assembled here, or this file would be its own finding.
    words = ["/" + "work/", "/tmp/" + "bash_jobs", "/tmp/" + "dev/", "/tmp/" + "dl/", "/" + "root/"]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked
        for word in words
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_results_file_tells_machine_and_date() -> None:
    if not table.RESULTS.exists():
        pytest.skip("no figures recorded yet")
    for row in json.loads(table.RESULTS.read_text(encoding="utf-8"))["rows"].values():
        assert row["machine"]["processor"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["machine"]["date"])
