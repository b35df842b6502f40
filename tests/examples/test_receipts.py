"""Receipts: rows, the split, rules and the score."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from examples.receipts.__main__ import main
from examples.receipts.chat import SCHEMA, lesson
from examples.receipts.receipt import FIELDS, read_receipts
from examples.receipts.rules import careful_rules, plain_rules
from examples.receipts.score import normal, parsed, score
from tests.examples.small_data import box, receipt_entry, write_lines, write_receipts

if TYPE_CHECKING:
    from pathlib import Path


def test_boxes_at_one_height_are_one_row(tmp_path: Path) -> None:
    (receipt,) = read_receipts(write_receipts(tmp_path / "receipts.jsonl", 1))
    assert receipt.rows[0] == "SHOP 1 SDN BHD"
    assert receipt.rows[3:5] == ("CASH 50.00", "TOTAL 1.50")


def test_a_text_is_there_once_and_its_place_depends_on_it_alone(tmp_path: Path) -> None:
    entries = [receipt_entry(number) for number in range(60)]
    entries[7] = {**entries[3], "id": "copy"}
    receipts = read_receipts(write_lines(tmp_path / "receipts.jsonl", entries))
    assert len(receipts) == 59
    again = read_receipts(write_lines(tmp_path / "turned.jsonl", entries[::-1]))
    assert {r.text: r.part for r in receipts} == {r.text: r.part for r in again}
    assert {r.part for r in receipts} == {"train", "dev", "test"}


def test_a_field_that_is_missing_is_empty(tmp_path: Path) -> None:
    entry = {"id": "1", "fields": {"company": "A"}, "lines": [box(0, 0, "A")]}
    (receipt,) = read_receipts(write_lines(tmp_path / "receipts.jsonl", [entry]))
    assert receipt.fields == {"company": "A", "date": "", "address": "", "total": ""}


def test_rules_find_what_they_are_made_for(tmp_path: Path) -> None:
    (receipt,) = read_receipts(write_receipts(tmp_path / "receipts.jsonl", 1))
    plain, careful = plain_rules(receipt), careful_rules(receipt)
    assert plain == {
        "company": "SHOP 1 SDN BHD",
        "date": "12/03/2018",
        "address": "1 JALAN ABC 81100 JOHOR",
        "total": "50.00",
    }
    assert careful == {**plain, "total": "1.50"}


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("total", "RM 1,234.5", "1234.50"),
        ("total", "$8.20", "8.2"),
        ("company", "MR. D.I.Y. (M) SDN BHD", "mr diy (m) sdn. bhd."),
        ("date", "12-03-2018", "12/03/2018"),
        ("address", "NO.2, JALAN ABC,\n43200", "NO 2 JALAN ABC 43200"),
    ],
)
def test_writings_of_the_same(field: str, one: str, other: str) -> None:
    assert normal(one, field) == normal(other, field) != ""


def test_totals_that_differ() -> None:
    assert normal("12.50", "total") != normal("125.0", "total")
    assert normal("nothing", "total") == ""


def test_score_by_hand() -> None:
    full = {"company": "A", "date": "1/2/2018", "address": "B 1", "total": "5.00"}
    found = [full, {**full, "company": "", "total": "6.00"}, None]
    result = score(found, [full, full, full])
    assert result.valid == pytest.approx(2 / 3)
    assert result.fields["company"].f1 == pytest.approx(2 * 1 / (1 + 3))
    assert result.fields["total"].f1 == pytest.approx(2 * 1 / (2 + 3))
    assert result.fields["date"].exact == pytest.approx(2 / 3)
    assert result.f1 == pytest.approx(sum(one.f1 for one in result.fields.values()) / 4)


def test_an_answer_is_an_object_of_four_texts() -> None:
    whole = dict.fromkeys(FIELDS, "x")
    assert parsed(json.dumps(whole)) == whole
    for answer in ("", "{", "[]", json.dumps({**whole, "total": 5}), json.dumps({"company": "x"})):
        assert parsed(answer) is None


def test_a_lesson_is_what_a_schema_would_write(tmp_path: Path) -> None:
    (receipt,) = read_receipts(write_receipts(tmp_path / "receipts.jsonl", 1))
    answer = lesson(receipt)["messages"][-1]["content"]
    assert parsed(answer) == receipt.fields
    assert answer.startswith('{"company":"SHOP 1 SDN BHD","date":')
    assert list(json.loads(answer)) == SCHEMA["required"]


def test_rules_are_a_row_of_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, results = write_receipts(tmp_path / "receipts.jsonl", 40), tmp_path / "results.json"
    main(["--results", str(results), "rules", str(data), "--part", "train"])
    table = json.loads(results.read_text())["train"]
    assert table["plain rules"]["fields"]["company"]["f1"] == 1
    assert table["plain rules"]["f1"] < table["careful rules"]["f1"]
    assert "mean F1" in capsys.readouterr().out
