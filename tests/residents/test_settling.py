"""A vocabulary is read for grammars when no engine is at work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pennyweight.answers.grammars import Grammars
from pennyweight.engine.core_turns import CoreTurns
from pennyweight.models.load import load
from pennyweight.residents.settling import settle
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.tools.detect import find_dialect

if TYPE_CHECKING:
    from pathlib import Path


def grammars_of(path: Path) -> Grammars:
    metadata = load(path).metadata
    tokenizer = Tokenizer.from_metadata(metadata)
    return Grammars(tokenizer=tokenizer, vocab_size=tokenizer.vocab_size, dialect=find_dialect(metadata))


def test_it_waits_for_the_engines(tiny_llama_path: Path) -> None:
    grammars, cores = grammars_of(tiny_llama_path), CoreTurns()
    seat = cores.seat()
    assert cores.are_idle
    seat.take()
    assert not cores.are_idle
    thread = threading.Thread(target=settle, args=(grammars, cores, threading.Event()))
    thread.start()
    assert not grammars.is_warm
    seat.release()
    thread.join(30)
    assert grammars.is_warm


def test_it_ends_with_the_model(tiny_llama_path: Path) -> None:
    grammars, cores, closed = grammars_of(tiny_llama_path), CoreTurns(), threading.Event()
    cores.seat().take()
    thread = threading.Thread(target=settle, args=(grammars, cores, closed))
    thread.start()
    closed.set()
    thread.join(30)
    assert not thread.is_alive()
    assert not grammars.is_warm
