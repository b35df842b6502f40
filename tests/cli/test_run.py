"""`penny run`: the answer and nothing else on standard output, and honest exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import pennyweight
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import llama_shape

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


def test_only_the_answer_is_on_standard_output(penny: Penny, tiny_llama_path: Path) -> None:
    arguments = ("run", "Hi", "--model", str(tiny_llama_path), "--seed", "1", "--max-tokens", "8")
    plain = penny.run(*arguments)
    assert plain.returncode == 0
    assert plain.stderr == ""
    report = json.loads(penny.run(*arguments, "--json").stdout)
    assert plain.stdout.removesuffix("\n") == report["text"].removesuffix("\n")
    assert set(report) == {"text", "finish_reason", "usage", "timings"}
    assert report["finish_reason"] == "length"
    assert report["usage"]["completion_tokens"] == 8
    assert report["usage"]["total_tokens"] == report["usage"]["prompt_tokens"] + 8
    assert set(report["timings"]) == {"queue_s", "ttft_s", "decode_s", "cpu_s"}


def test_an_adapter_answers(penny: Penny, tiny_llama_path: Path, tmp_path: Path) -> None:
    arguments = ("run", "Hi", "--model", str(tiny_llama_path), "--temperature", "0", "--max-tokens", "8")
    folder = write_adapter(tmp_path / "poet", llama_shape())
    adapted = penny.run(*arguments, "--adapter", str(folder))
    assert adapted.returncode == 0
    assert adapted.stdout != penny.run(*arguments).stdout
    refused = penny.run(*arguments, "--adapter", str(tmp_path))
    assert refused.returncode == 1
    assert "is no adapter: it has no adapter_config.json; give the folder that PEFT saved" in refused.stderr


def test_piped_text_comes_after_the_prompt(penny: Penny, tiny_llama_path: Path) -> None:
    arguments = ("--model", str(tiny_llama_path), "--temperature", "0", "--max-tokens", "4", "--json")
    piped = json.loads(penny.run("run", "Summarise", *arguments, given="the text\n").stdout)
    whole = json.loads(penny.run("run", "Summarise\n\nthe text\n", *arguments).stdout)
    alone = json.loads(penny.run("run", *arguments, given="Summarise\n\nthe text\n").stdout)
    assert piped["text"] == whole["text"] == alone["text"]
    assert piped["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]


def test_system_and_stop(penny: Penny, tiny_llama_path: Path) -> None:
    arguments = ("--model", str(tiny_llama_path), "--temperature", "0", "--max-tokens", "40", "--json")
    plain = json.loads(penny.run("run", "Hi", *arguments).stdout)
    told = json.loads(penny.run("run", "Hi", "--system", "Be brief.", *arguments).stdout)
    assert told["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]
    text = plain["text"]
    stop = text[5:7]
    stopped = json.loads(penny.run("run", "Hi", "--stop", stop, "--stop", "never", *arguments).stdout)
    assert stopped["text"] == text[: text.index(stop)]
    assert stopped["finish_reason"] == "stop"


def test_a_base_model_continues_the_prompt(penny: Penny, base_model: Path) -> None:
    arguments = ("--model", str(base_model), "--max-tokens", "3", "--json")
    report = json.loads(penny.run("run", "abc", *arguments).stdout)
    assert report["usage"]["prompt_tokens"] == 3
    refused = penny.run("run", "abc", "--system", "x", *arguments)
    assert refused.returncode == 1
    assert "base model" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "Hi", "--model", "gpt-17"), "no model 'gpt-17'"),
        (("run", "Hi", "--model", "/nowhere/x.gguf"), "/nowhere/x.gguf"),
        (("run", "Hi", "--model", "TINY", "--context", "9999"), "made for 512"),
        (("run", "z" * 600, "--model", "TINY"), "context holds 512"),
        (("chat", "--model", "BASE"), "cannot hold a conversation"),
    ],
)
def test_a_failure_is_one_line(
    penny: Penny, tiny_llama_path: Path, base_model: Path, arguments: tuple[str, ...], says: str
) -> None:
    models = {"TINY": str(tiny_llama_path), "BASE": str(base_model)}
    done = penny.run(*(models.get(argument, argument) for argument in arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("penny: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_file_that_is_no_model(penny: Penny, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    done = penny.run("run", "Hi", "--model", str(path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "Hi", "--temperature", "5"),
        ("run", "Hi", "--temperature", "hot"),
        ("run", "Hi", "--max-tokens", "0"),
        ("run", "Hi", "--frobnicate"),
        ("frobnicate",),
    ],
)
def test_wrong_usage(penny: Penny, arguments: tuple[str, ...]) -> None:
    done = penny.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error" in done.stderr


def test_input_that_is_not_text(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("run", "Hi", "--model", str(tiny_llama_path), given=b"\xff\xfe")
    assert done.returncode == 1
    assert "not UTF-8" in done.stderr


def test_ctrl_c_ends_quietly(penny: Penny, endless_model: Path) -> None:
    process = penny.start("run", "Hi", "--model", str(endless_model), "--temperature", "0")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdin = None
    process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_reader_that_has_seen_enough(penny: Penny, endless_model: Path) -> None:
    process = penny.start("run", "Hi", "--model", str(endless_model), "--temperature", "0")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdin.close()
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 0
    assert errors == ""


def test_help_loads_nothing_heavy(penny: Penny) -> None:
    code = (
        "import sys\n"
        "from pennyweight.cli.app import app\n"
        "app(['run', '--help'], standalone_mode=False)\n"
        "heavy = {'fastapi', 'uvicorn', 'tokenizers', 'jinja2', 'numpy', 'asyncio', 'pennyweight.native'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=penny.environ())
    assert done.returncode == 0, done.stderr


def test_version(penny: Penny) -> None:
    assert penny.run("--version").stdout == f"{pennyweight.__version__}\n"


def test_text_through_a_pipe(penny: Penny, tiny_llama_path: Path) -> None:
    process = penny.start("run", "--model", str(tiny_llama_path), "--max-tokens", "1", "--json")
    output, _ = process.communicate("Hi", timeout=60)
    assert process.returncode == 0
    assert json.loads(output)["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize("command", ["run", "chat", "serve", "pull", "models", "rm", "bench", "doctor"])
def test_every_command_has_help(penny: Penny, command: str) -> None:
    done = penny.run(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
