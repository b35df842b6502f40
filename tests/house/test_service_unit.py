"""The unit of systemd: it is valid, leaves the service little to break, and names settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from pennyweight.config import Settings

UNIT = Path(__file__).parents[2] / "packaging" / "pennyweight.service"
MOST_EXPOSURE = 2.0
"""Of 10: what `systemd-analyze security` gives a service that may do anything."""


@pytest.fixture
def analyzer() -> str:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not installed")
    return path


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT.read_text()))
    return copy


def test_it_is_valid(analyzer: str, unit: Path) -> None:
    done = subprocess.run([analyzer, "verify", str(unit)], check=False, capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, told) == (0, [])


def test_it_may_do_little(analyzer: str, unit: Path) -> None:
    command = [analyzer, "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze judges running services alone")
    level = re.search(r"exposure level for \S+: (\d+\.\d)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= MOST_EXPOSURE


def test_settings_it_names_exist() -> None:
    known = {f"PENNYWEIGHT_{field.name.upper()}" for field in fields(Settings)}
    named = set(re.findall(r"PENNYWEIGHT_[A-Z_]+", UNIT.read_text()))
    assert named
    assert named <= known


def test_the_operators_page_says_how_it_is_put_in_place() -> None:
    page = (UNIT.parents[1] / "docs" / "service.md").read_text()
    assert f"packaging/{UNIT.name}" in page
