"""Chat templates render as in `transformers`, and every part knows who wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pennyweight.errors import InvalidRequestError, ModelFileError, PennyweightError
from pennyweight.text.prompt import PromptPart
from pennyweight.text.template import ChatTemplate, missing_chat_template
from tests.text.conversations import CONVERSATIONS, NOW, SPECIAL_TOKENS
from tests.text.make_template_goldens import golden, load_templates, render_with_transformers

GOLDENS = json.loads((Path(__file__).parent / "template_goldens.json").read_text())
SECRET = "\ue000"  # a character no template writes


def make(source: str) -> ChatTemplate:
    return ChatTemplate(source, special_tokens=SPECIAL_TOKENS, clock=lambda: NOW)


def render(source: str, content: Any = "x", **variables: Any) -> list[PromptPart]:
    return make(source).render([{"role": "user", "content": content}], **variables)


def text_of(parts: list[PromptPart]) -> str:
    return "".join(part.text for part in parts)


def shown(parts: list[PromptPart]) -> str:
    """Untrusted stretches in guillemets."""
    return "".join(part.text if part.trusted else f"«{part.text}»" for part in parts)


@pytest.fixture(scope="session")
def corpus(shared_data: Path) -> dict[str, str]:
    return load_templates(shared_data / "tokenizers" / "chat_templates.tar.gz")


@pytest.mark.parametrize("name", GOLDENS)
def test_renders_as_transformers_did(corpus: dict[str, str], name: str) -> None:
    template = make(corpus[name])
    for key, conversation in CONVERSATIONS.items():
        try:
            rendered: str | None = text_of(template.render(**conversation))
        except PennyweightError:
            rendered = None
        assert golden(rendered) == GOLDENS[name][key], key


def test_renders_as_transformers_does(corpus: dict[str, str]) -> None:
    pytest.importorskip("transformers", reason="the reference is a development dependency")
    for name in sorted(corpus)[::6]:
        for key in ("system", "special", "tool_turns"):
            expected = render_with_transformers(corpus[name], CONVERSATIONS[key])
            assert golden(expected) == GOLDENS[name][key], (name, key)


@pytest.mark.parametrize("name", GOLDENS)
def test_no_character_of_a_request_is_ever_trusted(corpus: dict[str, str], name: str) -> None:
    """Strings get a character that no template writes; it must not turn up in trusted text."""
    template = make(corpus[name])
    for conversation in CONVERSATIONS.values():
        request = salted(conversation)
        try:
            parts = template.render(**request)
        except PennyweightError:
            continue
        assert not any(SECRET in part.text for part in parts if part.trusted)


def salted(value: Any, key: str = "") -> Any:
    """`value` with the secret after every character of its free texts; roles and types steer the template."""
    if isinstance(value, str):
        return value if key in ("role", "type") else SECRET.join(["", *value, ""])
    if isinstance(value, dict):
        return {name: salted(item, name) for name, item in value.items()}
    return [salted(item, key) for item in value] if isinstance(value, list) else value


def test_the_parts_of_chatml(corpus: dict[str, str]) -> None:
    template = make(corpus["Qwen-Qwen2.5-7B-Instruct"])
    parts = template.render([{"role": "system", "content": "S"}, {"role": "user", "content": "<|im_end|>"}])
    assert parts == [
        PromptPart("<|im_start|>system\n", trusted=True),
        PromptPart("S", trusted=False),
        PromptPart("<|im_end|>\n<|im_start|>", trusted=True),
        PromptPart("user", trusted=False),
        PromptPart("\n", trusted=True),
        PromptPart("<|im_end|>", trusted=False),
        PromptPart("<|im_end|>\n<|im_start|>assistant\n", trusted=True),
    ]


C = "{{ messages[0].content%s }}"


@pytest.mark.parametrize(
    ("source", "content", "expected"),
    [
        ("<{{ messages[0]['content'] | trim }}>", "  a b ", "<«a b»>"),
        (C % ".strip() + '<|e|>'", " a ", "«a»<|e|>"),
        (C % "[1:3] ~ '|' ~ messages[0].content[0]", "abcd", "«bc»|«a»"),
        (C % ".split('</t>')[-1].lstrip('\\n')", "r</t>\n\nb", "«b»"),
        ("{% for w in messages[0].content.split() %}[{{ w }}]{% endfor %}", "a  b\tc", "[«a»][«b»][«c»]"),
        ("{% for c in messages[0].content %}{{ c }}.{% endfor %}", "abc", "«a».«b».«c»."),
        ("{{ '<' + messages[0].content + '>' }}", "a", "<«a»>"),
        ("{{ ['<s>', messages[0].content] | join('|') }}", "a", "<s>|«a»"),
        ("{{ '|'.join(['<s>', messages[0].content]) }}", "a", "<s>|«a»"),
        ("{{ 'a-b'.replace('-', messages[0].content) }}", "X", "a«X»b"),
        (C % ".replace('b', '<n>')", "abc", "«a»<n>«c»"),
        (C % " | replace('b', '<n>')", "abc", "«a»<n>«c»"),
        (C % " | upper", "abc", "«ABC»"),
        (C % " | tojson", 'a"b', '«"a\\"b"»'),
        ("{{ messages | tojson }}", "a", '«[{"role": "user", "content": "a"}]»'),
        ("{{ messages }}", "a", "«[{'role': 'user', 'content': 'a'}]»"),
        ("{{ messages[0] ~ '' }}", "a", "«{'role': 'user', 'content': 'a'}»"),
        ("{{ messages | string | length }}", "a", "34"),
        ("{{ '%s!' % messages[0].content }}", "a", "«a!»"),
        ("{{ '{}!'.format(messages[0].content) }}", "a", "«a!»"),
        ("{{ '%s!' | format(messages[0].content) }}", "a", "«a!»"),
        (C % " * 2", "ab", "«abab»"),
        (C % "[::-1]", "ab", "«ba»"),
        ("{% set x = messages[0].content %}{% set y %}<{{ x }}>{% endset %}{{ y }}", "a", "<«a»>"),
        ("{% macro m(t) %}<b>{{ t }}{% endmacro %}{{ m(messages[0].content) }}", "a", "<b>«a»"),
        ("{% set ns = namespace(t='') %}{% set ns.t = ns.t + messages[0].content %}{{ ns.t }}!", "a", "«a»!"),
        ("{% if messages[0].content == 'a' %}<yes>{% endif %}", "a", "<yes>"),
        ("{% if 'a' in messages[0].content %}<yes>{% endif %}", "bab", "<yes>"),
        ("{{ messages[0].content | length }}", "abc", "3"),
        ("{{ {'user': '<|user|>'}.get(messages[0].role) }}", "a", "<|user|>"),
        ("{{ {'user': '<|user|>'}[messages[0].role] }}", "a", "<|user|>"),
        ("{{ ['<a>', '<b>'] | join }}", "a", "<a><b>"),
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "</s>", "<s>«</s>»</s>"),
        (
            "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}",
            "a",
            "«role»=«user»;«content»=«a»;",
        ),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "a", "«a»"),
        ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "a", "1"),
        ("{{ '<b>' | safe + messages[0].content }}", '<"', "<b>«&lt;&#34;»"),
        ("{{ strftime_now('%d %b %Y') }}", "a", "03 Feb 2026"),
        ("{{ messages[0].content.partition(':')[2] }}!", "a:b:c", "«b:c»!"),
        ("{{ messages[0].content.rsplit('/', 1) | first }}!", "a/b/c", "«a/b»!"),
        ("{{ messages[0].content.splitlines() | join('|') }}", "a\n\nb", "«a»||«b»"),
        ("{{ messages[0].content.removeprefix('a') }}", "ab", "«b»"),
        ("{{ enable }}{{ extra }}", "a", "True«x»"),
    ],
)
def test_marks_follow_what_a_template_does(source: str, content: str, expected: str) -> None:
    assert shown(render(source, content, enable=True, extra="x")) == expected


def test_messages_and_tools_are_not_changed() -> None:
    message: dict[str, Any] = {"role": "user", "content": "a", "nested": {"list": ["b"]}}
    make("{{ messages[0].nested }}").render([message])
    assert message == {"role": "user", "content": "a", "nested": {"list": ["b"]}}
    assert type(message["nested"]["list"][0]) is str


def test_a_refusal_carries_the_words_of_the_template() -> None:
    with pytest.raises(InvalidRequestError, match="roles must alternate") as refusal:
        render("{{ raise_exception('roles must alternate') }}")
    assert refusal.value.param == "messages"


@pytest.mark.parametrize(
    "source", ["{{ messages[0].nope.deeper }}", "{{ messages[0].content + 1 }}", "{{ 1 / 0 }}"]
)
def test_messages_a_template_cannot_use_are_the_callers_error(source: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot render"):
        render(source)


def test_a_template_comes_from_metadata_with_its_tokens() -> None:
    metadata = {
        "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
        "tokenizer.ggml.tokens": ["<a>", "<b>"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }
    template = ChatTemplate.from_metadata(metadata)
    assert template is not None
    assert shown(template.render([{"role": "user", "content": "x"}])) == "<a>«x»<b>"
    assert ChatTemplate.from_metadata({}) is None
    assert "plain completion" in missing_chat_template("gemma-3-270m").message


def test_reasoning_is_found_under_every_name() -> None:
    message = {"role": "assistant", "content": "4", "reasoning": "add"}
    parts = make("{{ messages[0].thinking }}{{ messages[0].reasoning_content }}").render([message])
    assert shown(parts) == "«addadd»"


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ 'x' | wordwrap }}", "{{ " + "(" * 3000 + " }}", "a" * (2 << 20)]
)
def test_a_malformed_template_is_the_models_error(source: str) -> None:
    with pytest.raises(ModelFileError, match="chat template"):
        make(source)


def test_the_variables_a_request_may_set() -> None:
    source = "{{ bos_token }}{% if thinking %}{{ strftime_now('%Y') }}{% endif %}{{ messages }}{{ range(2) }}"
    assert ChatTemplate(source).variables == {"thinking"}
