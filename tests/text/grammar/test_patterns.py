"""Patterns mean the same to llguidance, to Python's `re` and to ECMA-262, or are refused."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.grammar.formats import FORMATS
from pennyweight.text.grammar.patterns import PatternError, rust_pattern
from pennyweight.text.grammar.source import GrammarSource
from pennyweight.text.tokenizer import Tokenizer
from tests.models.gguf_writer import Typed
from tests.models.tiny_vocabulary import bpe_vocabulary
from tests.text.grammar.walk import random_answer, reaches

if TYPE_CHECKING:
    from pennyweight.text.grammar.mask import GrammarMask

_ATOMS = [
    "a",
    "b",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    ".",
    "[ab]",
    "[^a]",
    r"[^\d]",
    r"[\w-]",
    r"[^\W_]",
]
_ATOMS += [r"[a-c&&b]", "[[]", "[!-~]", r"\.", r"\/", r"\-", "-", "/", '"', "é", r"é", r"\t", "&&", "~"]
_TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "1",
    "٣",
    "é",
    "²",
    "_",
    " ",
    "\t",
    "\x85",
    " ",
    "\n",
    "a\n",
    "[",
    "&",
    "-",
    "\r",
]
_TEXTS += [" ", "aé", "\x1c", "﻿", '"', "\\", "/", "~", "ba1", "a-", "ß"]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Regular expressions that Python's `re` accepts too."""
    pieces = draw(st.lists(st.sampled_from(_ATOMS), min_size=1, max_size=4))
    quantifiers = draw(
        st.lists(st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "*?"]), min_size=4, max_size=4)
    )
    body = "".join(piece + quantifier for piece, quantifier in zip(pieces, quantifiers, strict=False))
    shape = draw(st.sampled_from(["{}", "^{}$", "^{}", "{}$", "^(?:{}|a)$", "(?P<x>{})b?"]))
    return shape.format(body)


@pytest.mark.filterwarnings("ignore:Possible")  # Python's `re` plans sets within sets
@settings(max_examples=150, deadline=None)
@given(pattern=patterns(), text=st.sampled_from(_TEXTS))
def test_narrow_is_within_and_wide_is_around_what_python_matches(pattern: str, text: str) -> None:
    matched = re.search(pattern, text) is not None
    if text.endswith("\n"):
        matched = re.search(pattern.replace("$", r"\Z"), text) is not None  # `$` is no end of line here
    if _matches(rust_pattern(pattern), text):
        assert matched
    if matched:
        assert _matches(rust_pattern(pattern, "wide"), text)


@cache
def _tools() -> tuple[GrammarCompiler, Tokenizer]:
    metadata = {
        key: value.value if isinstance(value, Typed) else value for key, value in bpe_vocabulary().items()
    }
    tokenizer = Tokenizer.from_metadata(metadata)
    return GrammarCompiler(tokenizer), tokenizer


def _grammar(pattern: str) -> GrammarMask:
    """Strings with a pattern that is given to llguidance as it stands."""
    schema = {"x-guidance": {"whitespace_flexible": False}, "type": "string", "pattern": pattern}
    return _tools()[0].compile(GrammarSource(json.dumps({"grammars": [{"json_schema": schema}]})))


def _matches(pattern: str, text: str) -> bool:
    try:
        grammar = _grammar(pattern)
    except InvalidRequestError as error:
        if "Unsatisfiable" in error.message:
            return False
        raise
    return reaches(grammar, _tools()[1], json.dumps(text, ensure_ascii=False))


REFUSED = [
    r"(?=a)", r"(?!a)", r"(?<=a)b", r"(?i)a", r"\bfoo", r"\Ba", r"(a)\1", r"\k<x>", r"a{,3}", "a{", "[]a]",
    "[^]", r"\Z", r"\A", r"\cA", r"\x1", "a**", "a++", "*a", "(a", "a)", "[a", "a\\", r"[a-\d]", r"\uD834",
    "a{200000}", "x" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("pattern", REFUSED, ids=lambda pattern: pattern[:20])
def test_what_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        rust_pattern(pattern)


def test_escapes_of_code_points() -> None:
    assert rust_pattern(r"\u00e9\uD834\uDD1E\x41") == "é𝄞A"
    assert _matches(rust_pattern(r"^\p{Lu}$"), "É")


GOOD = {
    "date": ["2024-02-29", "2000-02-29", "1999-12-31"],
    "time": ["23:59:59Z", "00:00:00.123+01:30"],
    "date-time": ["2024-02-29T00:00:00Z"],
    "duration": ["P1Y2M3DT4H5M6S", "PT0S", "P4W"],
    "email": ["joe.bloggs@example.com"],
    "hostname": ["example.com", "a", "my-host.example.org"],
    "ipv4": ["255.0.10.199"],
    "ipv6": ["::1", "::", "1:2:3:4:5:6:7:8", "2001:db8::ff00:42:8329"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "uri": ["https://example.com:80/a/b?c=d#e", "mailto:a@b.c", "urn:isbn:0451450523"],
    "uri-reference": ["/a/b", "?x", "#y", "a/b", "https://example.com"],
    "json-pointer": ["", "/a~1b/0"],
    "relative-json-pointer": ["0#", "1/a"],
}
BAD = {
    "date": ["1900-02-29", "2023-02-29", "0000-01-01", "2024-1-1", "2024-04-31"],
    "time": ["24:00:00Z", "00:00:60Z", "00:00:00"],
    "date-time": ["2024-02-30T00:00:00Z", "2024-01-01 00:00:00Z"],
    "duration": ["P", "PT", "P1S"],
    "email": ["a", "a@", ".a@b.com", "a@b"],
    "hostname": ["", "-a", "a-", "a..b", "a--b"],
    "ipv4": ["256.0.0.1", "01.1.1.1"],
    "ipv6": [":::", "1::2::3", "1:2:3:4:5:6:7", "12345::"],
    "uuid": ["123e4567e89b12d3a456426614174000"],
    "uri": ["//x", "a b:c", "http://[", "%"],
    "uri-reference": ["//a@b@c", "a b", "\\"],
    "json-pointer": ["a", "/~2"],
    "relative-json-pointer": ["01", "/a"],
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats(name: str) -> None:
    pattern = f"^(?:{FORMATS[name]})$"
    for text in GOOD[name]:
        assert _matches(pattern, text), text
    for text in BAD[name]:
        assert not _matches(pattern, text), text
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for seed in range(15):
        written = random_answer(_grammar(pattern), _tools()[1], random.Random(seed), max_tokens=400)
        if written is not None:
            checker.check(json.loads(written), name)
