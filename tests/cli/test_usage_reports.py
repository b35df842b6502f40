"""`penny usage` and `penny cost` over a data folder: tables for people, exact JSON for programs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.usage import UsageRow, UsageRows

if TYPE_CHECKING:
    from tests.cli.penny import Penny

DAY = 86400


@pytest.fixture
def kept(penny: Penny) -> Penny:
    """A folder with an answer of today by one key, two of yesterday by another, an old one."""
    folder = penny.home / "data" / "pennyweight"
    folder.mkdir(parents=True)
    now = int(time.time())
    rows = [
        _row(1, ended_at=now, key_id="key_a", price=1_500_000_000_000),
        _row(2, ended_at=now - DAY, key_id="key_b", model="big"),
        _row(3, ended_at=now - DAY, key_id="key_b", outcome="left"),
        _row(4, ended_at=now - 60 * DAY),
    ]
    with Database.open(f"sqlite:///{folder}/pennyweight.db") as database:
        database.write_now(lambda link: UsageRows().add(link, rows))
    return penny


def _row(number: int, **fields: Any) -> UsageRow:
    values: dict[str, Any] = {
        "request_id": f"req_{number}",
        "project_id": "default",
        "kind": "completions",
        "endpoint": "/v1/completions",
        "outcome": "completed",
        "status": 200,
        "model": "small",
        "prompt_tokens": 1000,
        "cached_tokens": 100,
        "completion_tokens": 10,
        "cpu_us": 1_500_000,
        "price": 1,
    }
    return UsageRow(**values | fields)


def _json(penny: Penny, *arguments: str) -> dict[str, Any]:
    done = penny.run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_usage_by_day(kept: Penny) -> None:
    report = _json(kept, "usage")
    assert [row["requests"] for row in report["rows"]] == [2, 1]
    assert [row["day"] for row in report["rows"]] == sorted(row["day"] for row in report["rows"])
    assert report["total"] == {
        "requests": 3,
        "prompt_tokens": 3000,
        "cached_tokens": 300,
        "completion_tokens": 30,
        "cpu_seconds": 4.5,
    }


def test_since_and_by(kept: Penny) -> None:
    assert _json(kept, "usage", "--since", "90d")["total"]["requests"] == 4
    assert _json(kept, "usage", "--since", "12h")["total"]["requests"] == 1
    assert _json(kept, "usage", "--since", "2099-01-01")["rows"] == []
    rows = _json(kept, "usage", "--by", "key,outcome,batch")["rows"]
    told = [(row["key"], row["outcome"], row["batch"], row["requests"]) for row in rows]
    assert told == [
        ("key_a", "completed", "no", 1),
        ("key_b", "completed", "no", 1),
        ("key_b", "left", "no", 1),
    ]


def test_cost_is_exact_and_says_what_is_unknown(kept: Penny) -> None:
    report = _json(kept, "cost", "--by", "model")
    assert [(row["model"], row["price_usd"]) for row in report["rows"]] == [
        ("big", "0.000000000001"),
        ("small", "1.500000000001"),
    ]
    assert report["total"]["price_usd"] == "1.500000000002"
    assert report["total"]["joules"] is None
    assert report["standing"]["real_usd"] is None


def test_what_it_costs_here(kept: Penny, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HARDWARE_PER_HOUR", "0.5"), ("IDLE_WATTS", "10"), ("BUSY_WATTS", "50")):
        monkeypatch.setenv(f"PENNYWEIGHT_{name}", value)
    report = _json(kept, "cost", "--since", "30d")
    assert report["standing"]["real_usd"] == pytest.approx(0.5 * 24 * 30, rel=1e-3)
    assert sum(row["joules"] for row in report["rows"]) == pytest.approx(report["total"]["joules"])
    shown = kept.run("cost").stdout
    assert "uncertain by 25 %" in shown
    assert "Not in it: 360.00" in shown


@pytest.mark.parametrize("command", ["usage", "cost"])
def test_tables(kept: Penny, command: str) -> None:
    done = kept.run(command, "--by", "day,model")
    assert done.returncode == 0
    assert "big" in done.stdout
    assert "total" in done.stdout
    assert "No requests since" in kept.run(command, "--since", "2099-01-01").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "soon"), "'soon' is no time"),
        (("--since", "d"), "'d' is no time"),
        (("--by", "day,colour"), "not by 'colour'"),
    ],
)
def test_what_cannot_be_read_is_said(kept: Penny, arguments: tuple[str, ...], said: str) -> None:
    done = kept.run("usage", *arguments)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_empty_folder_has_no_usage(penny: Penny) -> None:
    with Database.open(DataFolder.open(str(penny.home / "data" / "pennyweight")).database_url):
        pass
    assert _json(penny, "usage")["total"]["requests"] == 0
    assert _json(penny, "cost", "--by", "")["rows"] == []


READING = (["usage"], ["cost"], ["keys", "list"], ["keys", "revoke", "key_x"], ["store", "verify"])


@pytest.mark.parametrize("command", READING)
def test_a_folder_no_server_has_used_is_named_and_not_made(penny: Penny, command: list[str]) -> None:
    wrong = penny.home / "wrong"
    done = penny.run(*command, "--data", str(wrong))
    assert done.returncode == 1
    assert f"{wrong} is no data folder" in done.stderr
    done = penny.run(*command)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nothing is kept yet" in done.stderr
    assert not wrong.exists()
    assert not (penny.home / "data" / "pennyweight").exists()


@pytest.mark.parametrize("command", READING)
def test_a_folder_whose_rows_are_elsewhere_gets_no_database(penny: Penny, command: list[str]) -> None:
    """As a server with `--database postgresql://...` leaves it."""
    folder = DataFolder.open(str(penny.home / "data" / "pennyweight"))
    with folder.served():
        pass
    done = penny.run(*command)
    assert done.returncode == 1
    assert f"{folder.path} has no database" in done.stderr
    assert "--database" in done.stderr
    assert [path.name for path in folder.path.iterdir()] == ["serve.lock"]
