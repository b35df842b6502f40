"""Bars are for a person who waits: on a terminal, and only if there is something to wait for."""

from __future__ import annotations

import os
import pty
import sys
from typing import TYPE_CHECKING

from pennyweight.cli.terminal import PromptBar, progress_bars

if TYPE_CHECKING:
    import pytest


class Terminal:
    """A pseudo-terminal as standard error."""

    def __init__(self) -> None:
        self._reader, writer = pty.openpty()
        self.file = os.fdopen(writer, "w", encoding="utf-8")

    def shown(self) -> str:
        self.file.close()
        pieces = []
        try:
            while piece := os.read(self._reader, 4096):
                pieces.append(piece)
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(self._reader)
        return b"".join(pieces).decode()


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture: pytest puts its own standard error in place between a test's setup and the test."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", terminal.file)
    return terminal


def test_a_long_prompt_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    clock = Clock()
    bar = PromptBar(clock=clock)
    bar.show(512, 4096)
    clock.now_s = 0.5
    bar.show(1024, 4096)
    bar.close()
    shown = terminal.shown()
    assert "Reading the prompt" in shown
    assert "1024/4096" in shown
    assert "512/" not in shown
    assert "0/100" not in shown


def test_a_short_one_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    bar = PromptBar(clock=Clock())
    bar.show(512, 4096)
    bar.close()
    assert terminal.shown() == ""


def test_nothing_is_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    bar = PromptBar(clock=clock)
    clock.now_s = 1.0
    bar.show(512, 4096)
    bar.close()
    assert capsys.readouterr().err == ""


def test_what_a_model_needs_stands_beside_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with progress_bars() as show:
        show("memory", 3 * 2**30, 16 * 2**30)
        show("load", 5, 10)
    assert "Loading the model, which needs 3,072 of 16,384 MiB of memory" in terminal.shown()


def test_without_a_terminal_a_large_need_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with progress_bars() as show:
        show("memory", 2**20, 2**34)  # loaded before anybody has read it
        show("load", 5, 10)
        show("memory", 3 * 2**30, 2**34)
        show("load", 5, 10)
    assert capsys.readouterr().err == ("Loading the model, which needs 3,072 of 16,384 MiB of memory ...\n")
