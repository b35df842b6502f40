"""`penny chat`: turns, commands, and Ctrl-C that stops the answer only."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


def test_a_conversation(penny: Penny, tiny_llama_path: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    typed = f"Hi\n\n/stats\nAgain\n/stats\n/save {saved}\n/quit\nnever read\n"
    arguments = ("--model", str(tiny_llama_path), "--max-tokens", "5", "--system", "Be kind.", "--seed", "3")
    done = penny.run("chat", *arguments, given=typed)
    assert done.returncode == 0
    talk = json.loads(saved.read_text())
    assert talk["model"] == "tiny-llama"
    roles = [message["role"] for message in talk["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert [talk["messages"][index]["content"] for index in (0, 1, 3)] == ["Be kind.", "Hi", "Again"]
    assert talk["messages"][2]["content"] in done.stdout
    stats = [line for line in done.stderr.splitlines() if "tokens/s" in line]
    assert len(stats) == 2
    assert "5 answered" in stats[0]
    # The second turn begins with the first, whose tokens are still there.
    assert " 0 of them cached" in stats[0]
    assert " 0 of them cached" not in stats[1]


def test_commands(penny: Penny, tiny_llama_path: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    typed = f"/stats\n/help\n/dance\n/save\n/save /nowhere/x\nHi\n/system New.\n/reset\n/save {saved}\n"
    done = penny.run("chat", "--model", str(tiny_llama_path), "--max-tokens", "1", given=typed)
    assert done.returncode == 0
    assert json.loads(saved.read_text())["messages"] == [{"role": "system", "content": "New."}]
    for expected in (
        "No answer yet",
        "/system TEXT",
        "no command /dance",
        "Name a file",
        "/nowhere/x could not",
    ):
        assert expected in done.stderr


def test_files_that_are_not_written(penny: Penny, tiny_llama_path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("mine")
    typed = f"/save {kept}\n/save ~no-such-person/x\n/save a\0b\n/help\n"
    done = penny.run("chat", "--model", str(tiny_llama_path), given=typed)
    assert done.returncode == 0
    assert kept.read_text() == "mine"
    assert f"{kept} exists" in done.stderr
    assert done.stderr.count("could not be written") == 2
    assert "/reset" in done.stderr


def test_a_line_that_is_not_text_is_left_out(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("chat", "--model", str(tiny_llama_path), given=b"a\xff\n/help\r\n")
    assert done.returncode == 0
    assert "byte 1 is wrong" in done.stderr
    assert "/reset" in done.stderr


def test_ctrl_c_at_the_prompt_keeps_the_conversation(penny: Penny, tiny_llama_path: Path) -> None:
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "pennyweight", "chat", "--model", str(tiny_llama_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=terminal, stdout=pipe, stderr=pipe, text=True, env=penny.environ()
    ) as process:
        os.close(terminal)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.readline()
        process.stdout.read(2)  # the prompt
        interrupt_until_told(process)
        assert process.stderr.readline() == "\n"
        assert "Ctrl-D ends" in process.stderr.readline()
        os.write(keyboard, b"/help\n/quit\n")
        assert "/reset" in process.stderr.read()
    os.close(keyboard)
    assert process.returncode == 0


def interrupt_until_told(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C, and again if nothing is said: between prompt and read the interpreter misses it.

    Python looks for signals before the system call that waits for a line, not at the same moment; one that
    arrives in between is seen with the next key or the next Ctrl-C.
    """
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        if select.select([process.stderr], [], [], 3.0)[0]:
            return


def test_a_context_that_is_full_is_told_and_the_talk_goes_on(penny: Penny, tiny_llama_path: Path) -> None:
    typed = f"{'z' * 600}\nHi\n/stats\n"
    done = penny.run("chat", "--model", str(tiny_llama_path), "--max-tokens", "2", given=typed)
    assert done.returncode == 0
    assert "context holds 512" in done.stderr
    assert "2 answered" in done.stderr


def test_ctrl_c_stops_the_answer_and_not_the_program(penny: Penny, endless_model: Path) -> None:
    process = penny.start("chat", "--model", str(endless_model), "--temperature", "0")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Hi\n")
    process.stdin.flush()
    process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate("/help\n/quit\n", timeout=60)
    assert process.returncode == 0
    assert "(stopped)" in errors
    assert "/reset" in errors
    assert "Traceback" not in errors
