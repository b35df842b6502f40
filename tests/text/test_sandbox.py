"""Hostile templates end with an error, soon and without memory; none gets out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pennyweight.errors import PennyweightError
from pennyweight.text.template import ChatTemplate

GROW = (
    "{%% set ns = namespace(x=%s) %%}{%% for i in range(99) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"
)
BIG = "{% set x = 'a' * 1000000 %}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{{ range(10**9) | list }}",
        "{{ 'a' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10 ** 10 ** 10 }}",
        GROW % ("'aa'", "ns.x + ns.x"),
        GROW % ("'aa'", "ns.x ~ ns.x"),
        GROW % ("[1]", "ns.x + ns.x"),
        GROW % ("[1]", "[ns.x, ns.x] | tojson"),
        GROW % ("'aa'", "ns.x.replace('a', ns.x)"),
        GROW % ("'aa'", "ns.x | replace('a', ns.x)"),
        GROW % ("'aa'", "[ns.x, ns.x] | join"),
        GROW % ("'%s%s'", "ns.x % (ns.x, ns.x)"),
        GROW % ("3", "ns.x * ns.x"),
        GROW % ("[]", "[ns.x, ns.x]"),
        GROW % ("[]", "[ns.x, ns.x]") + "{{ ns.x == [ns.x] }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 999999999) }}",
        "{{ 'a'.center(999999999) }}",
        "{{ 'a'.zfill(999999999) }}",
        "{{ '\t'.expandtabs(999999999) }}",
        "{{ 'a' | indent(999999999) }}",
        "{{ [1] | tojson(indent=999999999) }}",
        "{{ strftime_now('%999999999d') }}",
        BIG + "{{ [x] * 100000 }}",
        BIG + "{{ x.join(x) }}",
        BIG + "{{ x.replace('', x) }}",
        BIG + "{{ ('{0}' * 99).format(x) }}",
        BIG + "{% for i in range(99999) %}{{ 'b' in x }}{% endfor %}",
        BIG + "{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
        BIG + "{% for i in range(99999) %}{% if x is eq(x) %}{% endif %}{% endfor %}",
    ],
)
def test_work_and_memory_are_bounded(source: str) -> None:
    with pytest.raises(PennyweightError):
        ChatTemplate(source).render([])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__init__ }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ ('' | attr('__class__')).x }}",
        "{{ '{0.__class__.__mro__}'.format('') }}",
        "{{ namespace(__class__=1) }}",
        "{{ 'a'.encode() }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
    ],
)
def test_there_is_no_way_out(source: str) -> None:
    """Refused, or undefined and so nothing."""
    try:
        parts = ChatTemplate(source).render([])
    except PennyweightError:
        return
    assert parts == []


def test_a_long_conversation_is_within_the_bound() -> None:
    """A thousand messages and two megabytes of text go through what templates commonly do."""
    source = (
        "{% set ns = namespace(last=none) %}{% for m in messages[::-1] %}{% set ns.last = m %}{% endfor %}"
        "{% for m in messages %}{% if tools != none and m.role == 'user' and '</x>' not in m.content %}"
        "<|{{ m['role'] }}|>{{ (m.content | trim).split('</t>')[-1] + '<|end|>\n' }}{% endif %}{% endfor %}"
    )
    messages = [{"role": "user", "content": " word" * 400}] * 1000
    tools = [{"name": f"tool {i}", "parameters": {"type": "object"}} for i in range(100)]
    parts = ChatTemplate(source).render(messages, tools=tools)
    assert sum(part.text.count("word") for part in parts if not part.trusted) == 400_000


def test_every_rendering_has_the_whole_bound() -> None:
    half = "{% set x = [1] * 5000000 %}"
    template = ChatTemplate(half + "{{ messages[0].content }}")
    for word in ("one", "two", "three"):
        (part,) = template.render([{"role": "user", "content": word}])
        assert part.text == word
    with pytest.raises(PennyweightError):
        ChatTemplate(half * 2).render([])


def test_nothing_of_a_rendering_is_in_another() -> None:
    """One that failed half-way came before, and one in the middle of another."""
    source = (
        "{% set ns = namespace(said='') %}{% for m in messages %}{% set ns.said = ns.said ~ m.content %}"
        "{{ strftime_now('%Y') if m.content == 'when' }}{{ raise_exception('no') if m.content == 'fail' }}"
        "{% endfor %}{{ ns.said }}"
    )
    within: list[str] = []

    def clock() -> datetime:
        within.append(said("other"))
        return datetime(2026, 1, 1, tzinfo=UTC)

    template = ChatTemplate(source, clock=clock)

    def said(*words: str) -> str:
        return "".join(
            part.text for part in template.render([{"role": "user", "content": word} for word in words])
        )

    with pytest.raises(PennyweightError):
        said("secret", "fail")
    assert said("one", "when", "two") == "2026onewhentwo"
    assert within == ["other"]
    assert said("last") == "last"
