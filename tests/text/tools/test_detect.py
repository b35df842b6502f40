"""Dialects found by chat templates, and real templates given tools in them."""

from __future__ import annotations

import tarfile
from functools import cache
from typing import TYPE_CHECKING

import pytest

from pennyweight.text.template import ChatTemplate
from pennyweight.text.tools.detect import dialect_of, find_dialect
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import Tool
from tests.models.tiny_vocabulary import CHATML_TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.text.tools.dialect import Dialect

PHI_4_MINI = (
    "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and "
    "message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + "
    "message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + "
    "message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|assistant|>' }}{% endif %}"
)
EXPECTED = {
    "Bielik-11B-v3.0-Instruct": "hermes",
    "MiMo-VL": "hermes",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-QwQ-32B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Reka-Edge": "hermes",
    "meta-llama-Llama-3.1-8B-Instruct": "llama",
    "meta-llama-Llama-3.2-3B-Instruct": "llama",
    "meta-llama-Llama-3.3-70B-Instruct": "llama",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-named",
    "unsloth-mistral-Devstral-Small-2507": "mistral-named",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral-named",
    "google-gemma-2-2b-it": "gemma",
}
TOOL = Tool(name="get_weather", description="Weather", parameters={"type": "object", "properties": {"c": {}}})


@cache
def _templates(data: Path) -> dict[str, str]:
    with tarfile.open(data / "tokenizers" / "chat_templates.tar.gz") as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive if member.isfile()]
        return {
            name.rsplit("/", 1)[-1].removesuffix(".jinja"): file.read().decode()
            for name, file in files
            if file is not None
        }


def test_templates_of_the_corpus(shared_data: Path) -> None:
    found = {name: dialect_of(source).name for name, source in _templates(shared_data).items()}
    assert {name: dialect for name, dialect in found.items() if "generic" not in dialect} == EXPECTED
    assert found["Qwen3-Coder"] == "generic-taught", "taught tools, in a way of its own"
    assert found["microsoft-Phi-3.5-mini-instruct"] == "generic"


def test_templates_without_tools_get_the_generic_dialect() -> None:
    assert find_dialect({"tokenizer.chat_template": CHATML_TEMPLATE}) is GENERIC
    assert find_dialect({}) is GENERIC
    assert dialect_of(PHI_4_MINI).name == "phi"


def _render(source: str, dialect: Dialect) -> str:
    """A conversation with two calls at once, their results and a question, as the model reads it."""
    calls = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": f'{{"c":{n}}}'},
        }
        for n in (1, 2)
    ]
    messages = [
        {"role": "user", "content": "Weather in 1 and 2?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun-1"},
        {"role": "tool", "tool_call_id": "call_2", "content": "rain-2"},
    ]
    prompt = dialect.prompt(messages, [TOOL])
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    parts = ChatTemplate(source, special_tokens=special).render(prompt.messages, tools=prompt.tools)
    return "".join(part.text for part in parts)


@pytest.mark.parametrize("name", [*EXPECTED, "phi-4-mini", "tiny-chatml"])
def test_tools_calls_and_results_reach_the_prompt(shared_data: Path, name: str) -> None:
    own = {"phi-4-mini": PHI_4_MINI, "tiny-chatml": CHATML_TEMPLATE}
    source = own.get(name) or _templates(shared_data)[name]
    text = _render(source, dialect_of(source))
    assert "Weather" in text
    assert "description" in text, "the tool is listed"
    positions = [text.index(word) for word in ("Weather in 1", "sun-1", "rain-2")]
    assert positions == sorted(positions)
    assert text.count("get_weather") >= 3, "the tool and two calls of it"
