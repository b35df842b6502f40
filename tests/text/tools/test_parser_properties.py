"""Whatever a model writes, parsing never fails and does not depend on where the text was cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.text.tools.json_text import InputText
from pennyweight.text.tools.tool import ArgumentsDelta, CallStart, Tool
from tests.text.tools.answers import joined, parse
from tests.text.tools.test_dialects import CALL, DIALECTS, NOW, RAW, TOOLS, TWO

PYTHON = Tool(name="python", kind="custom")
PIECES = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|tool_call|>", "<|/tool_call|>", "<tool"]
PIECES += [
    '{"name": "',
    "add",
    "now",
    "digits",
    '", "arguments": ',
    '", "parameters": ',
    "{}",
    "{",
    "}",
    "[",
    "]",
]
PIECES += ['{"a": 1}', '"', "\\", "\n", " ", ", ", "Hi", "é", *CALL.values(), *TWO.values(), *RAW.values()]


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text of fragments of calls, whole and in pieces."""
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return text, [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@settings(max_examples=60, deadline=None)
@given(case=cut_texts())
def test_cuts_do_not_matter(dialect: object, case: tuple[str, list[str]]) -> None:
    text, pieces = case
    parser = dialect.parser(TOOLS)  # type: ignore[attr-defined]
    events = [event for piece in pieces for event in parser.push(piece)]
    events = joined([*events, *parser.flush()])
    assert events == parse(dialect, TOOLS, text, step=1)  # type: ignore[arg-type]
    starts = [event for event in events if isinstance(event, CallStart)]
    assert [event.index for event in starts] == list(range(len(starts)))
    if not starts:
        assert "".join(event.text for event in events) == text, "nothing is lost"  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=20), cuts=st.lists(st.integers(0, 80), max_size=5), ascii_only=st.booleans())
def test_input_of_custom_tools_is_decoded_as_it_comes(text: str, cuts: list[int], ascii_only: bool) -> None:
    written = json.dumps({"input": text}, ensure_ascii=ascii_only)
    ends = sorted(min(cut, len(written)) for cut in cuts)
    decoder = InputText()
    pieces = [written[a:b] for a, b in zip([0, *ends], [*ends, len(written)], strict=True)]
    assert "".join(map(decoder.push, pieces)) == text


def test_deltas_come_as_soon_as_they_are_certain() -> None:
    (hermes,) = [dialect for dialect in DIALECTS if dialect.name == "hermes"]
    parser = hermes.parser([NOW, PYTHON])
    assert parser.push('<tool_call>\n{"name": "now", "arguments": ') == [CallStart(0, "now", "function")]
    assert parser.push('{"a": ') == [ArgumentsDelta(0, '{"a": ')]
    assert parser.push("1}") == [ArgumentsDelta(0, "1}")]
    assert parser.push("}\n</tool_call>") == []
    assert parser.flush() == []
