"""Whatever stands in `messages` and `tools` becomes a prompt, or an error of the client's, never ours."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.prompt import PromptBuilder
from pennyweight.errors import InvalidRequestError
from pennyweight.text.template import ChatTemplate
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.hermes import HERMES
from tests.answers.scripted_engine import read_tokenizer
from tests.models.tiny_vocabulary import CHATML_TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    + CHATML_TEMPLATE
    + "{% for m in messages %}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }}{{ call.function.arguments | tojson }}"
    "{% endfor %}{% endfor %}"
)
WORDS = st.sampled_from(["f", "g", "call_1", "call_2", "{}", '{"a": [1]}', "[1", "", "<tool_call>", "\ud800"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


def objects(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose fields are mostly right, sometimes missing, sometimes anything."""
    return st.fixed_dictionaries({}, optional={k: v | v | v | ANYTHING for k, v in fields.items()})


CALLS = objects(
    id=WORDS,
    type=st.sampled_from(["function", "custom"]),
    index=st.just(0),
    function=objects(name=WORDS, arguments=WORDS),
    custom=objects(name=WORDS, input=WORDS),
)
MESSAGES = objects(
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
    content=WORDS | st.lists(objects(type=st.just("text"), text=WORDS), max_size=2),
    tool_calls=st.lists(CALLS, max_size=2),
    tool_call_id=WORDS,
    function_call=objects(name=WORDS, arguments=WORDS),
    name=WORDS,
    refusal=WORDS,
    reasoning_content=WORDS,
)
TOOLS = objects(
    type=st.sampled_from(["function", "custom", "web_search"]),
    function=objects(name=WORDS, parameters=ANYTHING, strict=st.booleans()),
    custom=objects(name=WORDS, format=ANYTHING),
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(MESSAGES, max_size=4)},
    optional={"tools": st.lists(TOOLS, max_size=2), "tool_choice": ANYTHING, "response_format": ANYTHING},
)


@pytest.fixture(scope="module")
def builders(tiny_llama_path: Path) -> list[PromptBuilder]:
    tokenizer = read_tokenizer(tiny_llama_path)
    template = ChatTemplate(TEMPLATE)
    return [
        PromptBuilder(
            model_name="tiny", tokenizer=tokenizer, template=template, dialect=dialect, context=100_000
        )
        for dialect in (GENERIC, HERMES)
    ]


@given(body=BODIES)
def test_a_history_is_rendered_or_refused(builders: list[PromptBuilder], body: dict[str, Any]) -> None:
    with suppress(InvalidRequestError):
        chat = parse_chat(body)
        for builder in builders:
            assert builder.build(chat.conversation, {})
