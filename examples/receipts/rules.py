"""What a program without a model finds: the figures that tuning has to beat.

`plain_rules` are those of a first afternoon: the first row is the company, the first thing that looks like a
date is the date, the largest amount is the total, the rows between the company and the post code are the
address. `careful_rules` add words that tell one row from another, found by reading the training part.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.receipts.receipt import Receipt

_DATE: Final = re.compile(
    r"\b\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b|\b\d{4}[/.-]\d{1,2}[/.-]\d{1,2}\b"
    r"|\b\d{1,2}[ /.-]?(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]*[ ,/.-]*\d{2,4}\b",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(r"\d[\d,]*\.\d\d\b")
_POST_CODE: Final = re.compile(r"\b\d{5}\b")
_COMPANY: Final = re.compile(
    r"\b(SDN|BHD|S/B|ENTERPRISE|RESTORAN|RESTAURANT|TRADING|HARDWARE|MART|PERNIAGAAN|SYARIKAT)\b"
)
_NOT_ADDRESS: Final = re.compile(r"^\W*(CO\.?|REG|ROC|GST|TEL|FAX|H/?P|TAX|INVOICE|\(?[\dA-Z]+-[A-Z]\)?\W*$)")
_NOT_TOTAL: Final = re.compile(r"SUB|CASH|CHANGE|QTY|ITEM|DISC|SAV|GST|TAX|TENDER|EXCL|VISA|MASTER")


def plain_rules(receipt: Receipt) -> dict[str, str]:
    """The four fields by the simplest rule for each; empty where it finds nothing."""
    rows = receipt.rows
    dates = _DATE.findall(receipt.text)
    return {
        "company": rows[0] if rows else "",
        "date": dates[0] if dates else "",
        "address": _address(rows[1:]),
        "total": _largest(rows),
    }


def careful_rules(receipt: Receipt) -> dict[str, str]:
    """The same, with words that tell companies, addresses and totals."""
    rows = receipt.rows
    head = next((i for i, row in enumerate(rows[:6]) if _COMPANY.search(row.upper())), 0)
    company = re.sub(r"\s*\(?\b[A-Z]*\d[\w-]*\)?\W*$", "", rows[head]) if rows else ""
    body = [row for row in rows[head + 1 : head + 9] if not _NOT_ADDRESS.match(row.upper())]
    totals = [row for row in rows if "TOTAL" in row.upper() and not _NOT_TOTAL.search(row.upper())]
    with_amount = [row for row in totals if _AMOUNT.search(row)]
    return plain_rules(receipt) | {
        "company": company,
        "address": _address(body),
        "total": _AMOUNT.findall(with_amount[-1])[-1] if with_amount else _largest(rows),
    }


def _address(rows: Sequence[str]) -> str:
    """What stands up to the first post code; nothing if there is none nearby."""
    for end, row in enumerate(rows[:8]):
        if _POST_CODE.search(row):
            return " ".join(rows[: end + 1])
    return ""


def _largest(rows: Sequence[str]) -> str:
    amounts = [amount for row in rows for amount in _AMOUNT.findall(row)]
    return max(amounts, key=lambda amount: float(amount.replace(",", "")), default="")
