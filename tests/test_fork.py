"""An engine stays with the process that opened it: a fork has its memory, but none of its threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pennyweight

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PROGRAM = """
import json, os, sys
from pennyweight import Engine, PennyweightError

def said(use):
    try:
        return f"answered {use()!r}"
    except PennyweightError as error:
        return error.message

engine = Engine.open(sys.argv[1], parallel=2, threads=2)
ask = lambda: engine.chat("Hi", temperature=0, max_tokens=9).text
before = ask()
stream = engine.stream("Ho", temperature=0, max_tokens=400)
start = next(stream)  # the engine's threads are in the middle of their work
child = os.fork()
if child == 0:
    uses = {
        "chat": ask,
        "stream": lambda: next(engine.stream("Hi")),
        "generate": lambda: engine.generate("Hi"),
        "events": lambda: engine.stats(),
    }
    print(json.dumps({name: said(use) for name, use in uses.items()}), engine.is_serving, flush=True)
    engine.close()
    sys.exit(7)
_, status = os.waitpid(child, 0)
whole = start + "".join(stream)
again = engine.stream("Ho", temperature=0, max_tokens=400)
print(os.waitstatus_to_exitcode(status), ask() == before, whole == "".join(again), engine.is_serving)
engine.close()
"""


def test_a_fork_is_told_and_ends_while_its_parent_answers_on(tiny_llama_path: Path) -> None:
    sources = str(Path(pennyweight.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_llama_path)],
        env=dict(os.environ) | {"PYTHONPATH": sources},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    child, parent = done.stdout.splitlines()
    told, _, serving = child.rpartition(" ")
    assert serving == "False"
    assert set(json.loads(told).values()) == {
        "this engine was opened in another process; open one after the fork"
    }
    assert parent == "7 True True True"
