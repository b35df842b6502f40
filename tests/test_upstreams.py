"""Models elsewhere, as settings files, variables and flags describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.config import Settings
from pennyweight.errors import ConfigError
from pennyweight.upstreams import Upstream, read_upstreams, upstream_tables

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[models.mini]
upstream = "https://api.openai.com/v1/"
model = "gpt-4.1-nano"
key = "OPENAI_API_KEY"

[models."qwen/big"]
upstream = "http://gpu:8000/v1"
kind = "vllm"
timeout_s = 30
"""


def settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return Settings.load({}, environ={"PENNYWEIGHT_CONFIG": str(file), **environ})


def test_a_settings_file(tmp_path: Path) -> None:
    assert settings(tmp_path, FILE).upstream == {
        "mini": Upstream(
            name="mini", url="https://api.openai.com/v1", model="gpt-4.1-nano", key_env="OPENAI_API_KEY"
        ),
        "qwen/big": Upstream(
            name="qwen/big", url="http://gpu:8000/v1", model="qwen/big", kind="vllm", timeout_s=30.0
        ),
    }


def test_one_line_of_it(tmp_path: Path) -> None:
    items = ("a=https://x.test/v1#org/m", "b=vllm+http://[::1]:8000/v1")
    expected = {
        "a": Upstream(name="a", url="https://x.test/v1", model="org/m"),
        "b": Upstream(name="b", url="http://[::1]:8000/v1", model="b", kind="vllm"),
    }
    assert read_upstreams(upstream_tables(items), "here") == expected
    assert settings(tmp_path, "", PENNYWEIGHT_UPSTREAM=",".join(items)).upstream == expected
    flags = {"upstream": upstream_tables(items)}
    assert Settings.load(flags, environ={"PENNYWEIGHT_CONFIG": str(tmp_path / "none")}).upstream == expected


@pytest.mark.parametrize("text", ["", "a", "a=", "=http://x", "a=#m"])
def test_a_line_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME=URL#MODEL"):
        upstream_tables([text])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "needs an 'upstream'"),
        ({"upstream": "ftp://x"}, "http or https"),
        ({"upstream": "http://"}, "http or https"),
        ({"upstream": "http://x:99999"}, "http or https"),
        ({"upstream": "http://[::1"}, "http or https"),
        ({"upstream": "http://x y"}, "http or https"),
        ({"upstream": "http://u:secret@x"}, "variable that 'key' names"),
        ({"upstream": "http://x?key=secret"}, "variable that 'key' names"),
        ({"upstream": "http://x", "kind": "other"}, "openai, vllm, pennyweight"),
        ({"upstream": "http://x", "key": "sk-secret"}, "'key' must name a variable"),
        ({"upstream": "http://x", "key": "secret"}, "'key' must name a variable"),
        ({"upstream": "http://x", "key_env": "KEY"}, "unknown key 'key_env'; keys are key, kind, model"),
        ({"upstream": "http://x", "timeout_s": 0}, "timeout_s"),
        ({"upstream": "http://x", "timeout_s": True}, "timeout_s"),
        ({"upstream": "http://x", "model": 3}, "'model'"),
        ({"upstream": "http://x", "model": "a\nb"}, "'model'"),
        ("http://x", "must be a table"),
    ],
)
def test_what_is_wrong_is_named(table: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read_upstreams({"it": table}, "the file")
    assert "the file: [models.it]" in caught.value.message
    assert "secret" not in caught.value.message


def test_no_tables_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[models.NAME\]"):
        settings(tmp_path, 'models = "http://x"')


@pytest.mark.parametrize("text", ['[upstream.a]\nurl = "http://x"', 'upstream = "a=http://x"'])
def test_a_table_of_before_names_the_new_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[models.NAME\] with 'upstream' and 'key'"):
        settings(tmp_path, text)


def test_where_its_key_is() -> None:
    named = Upstream(name="a", url="http://x", model="m", key_env="A_KEY")
    assert named.key({"A_KEY": " k \n"}) == "k"
    with pytest.raises(ConfigError, match="A_KEY"):
        named.key({"A_API_KEY": "k"})
    plain = Upstream(name="open-ai", url="http://x", model="m")
    assert plain.key({"OPEN_AI_API_KEY": "k"}) == "k"
    assert plain.key({}) is None
    for key in ("a\nb", "schlüssel"):
        with pytest.raises(ConfigError) as caught:
            plain.key({"OPEN_AI_API_KEY": key})
        assert key not in caught.value.message
