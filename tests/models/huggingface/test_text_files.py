"""What stands beside the weights: chat templates, special tokens, advice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.api import Engine
from pennyweight.errors import ModelFileError
from pennyweight.models.advice import sampling_advice
from pennyweight.models.huggingface.text_files import read_text_files
from pennyweight.text.template import ChatTemplate
from tests.models.huggingface.tiny_folder import byte_level_files, write_folder
from tests.models.tiny import llama_shape

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}model:{% endif %}"
)
MESSAGES = [{"role": "user", "content": " hi <|im_end|> there "}, {"role": "assistant", "content": "yes"}]


def found(folder: Path, config: Any = None, **files: Any) -> dict[str, Any]:
    for name, value in {**byte_level_files(), **{n.replace("__", "."): v for n, v in files.items()}}.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return dict(read_text_files(folder, config or {}).metadata)


def rendered(metadata: dict[str, Any]) -> str:
    template = ChatTemplate.from_metadata(metadata)
    assert template is not None
    return "".join(part.text for part in template.render(MESSAGES))


EXPECTED = "<|im_start|>user: hi <|im_end|> there<|im_end|>\nassistant: yes<|im_end|>\nmodel:"


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template__jinja": TEMPLATE},
        {"chat_template__json": {"chat_template": TEMPLATE}},
        {"own": TEMPLATE},
        {"own": [{"name": "rag", "template": "no"}, {"name": "default", "template": TEMPLATE}]},
    ],
    ids=["jinja", "json", "text", "named"],
)
def test_chat_templates_come_from_where_they_are(tmp_path: Path, files: dict[str, Any]) -> None:
    config = byte_level_files()["tokenizer_config.json"]
    if "own" in files:
        files = {"tokenizer_config__json": config | {"chat_template": files["own"]}}
    assert rendered(found(tmp_path, **files)) == EXPECTED


def test_templates_render_as_transformers_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is a development dependency")
    metadata = found(tmp_path, chat_template__jinja=TEMPLATE)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert rendered(metadata) == expected


def test_a_folder_without_a_template_is_a_base_model(tmp_path: Path) -> None:
    files = {"tokenizer_config__json": {"eos_token": "<|im_end|>"}}
    assert ChatTemplate.from_metadata(found(tmp_path, **files)) is None


def test_ends_are_those_of_both_configurations(tmp_path: Path) -> None:
    metadata = found(tmp_path, {"eos_token_id": 2}, generation_config__json={"eos_token_id": [0, 1]})
    assert metadata["tokenizer.huggingface.end_ids"] == [0, 1, 2]


def test_advice_is_for_sampling(tmp_path: Path) -> None:
    advice = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1}
    shape = llama_shape(kind="F16", kinds={}, num_layers=1)
    folder = write_folder(tmp_path / "a", shape, files={"generation_config.json": advice})
    with Engine.open(folder, threads=1, parallel=1) as engine:
        told = engine.suggested_sampling
    assert told == {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1}
    assert sampling_advice(found(tmp_path, generation_config__json={"do_sample": False})) == {
        "temperature": 0.0
    }
    assert sampling_advice(found(tmp_path, generation_config__json={"top_p": 7})) == {}


@pytest.mark.parametrize(
    ("files", "saying"),
    [
        ({"generation_config__json": {"temperature": "hot"}}, "temperature is 'hot'"),
        ({"generation_config__json": {"eos_token_id": "</s>"}}, "eos_token_id is '</s>'"),
        ({"generation_config__json": []}, "not a JSON object"),
        ({"tokenizer_config__json": {"chat_template": 7}}, "chat_template is 7; expected a text"),
        ({"tokenizer_config__json": {"chat_template": [{"name": "rag"}]}}, "called 'default'"),
        ({"tokenizer_config__json": {"eos_token": 5}}, "eos_token is 5"),
        ({"special_tokens_map__json": "{"}, "not JSON"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: dict[str, Any], saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        found(tmp_path, **files)


def test_a_folder_without_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none of tokenizer\.json, tekken\.json, tokenizer\.model"):
        read_text_files(tmp_path, {})
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelFileError, match="not UTF-8"):
        read_text_files(tmp_path, {})
