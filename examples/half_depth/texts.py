"""What student and teacher read: chats as they are served, and plain text; a part held out by its hash.

Files are JSON Lines (`messages`; `instruction` with `output`, `response` or `instances`; `text`) or plain
text, gzipped or not. A document is cut after so many tokens: what is learnt is the teacher's next token at
each place, so that no end is missed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.conversation import Conversation, Message, TextPart
from pennyweight.tune.example import Example
from pennyweight.tune.group import Group
from pennyweight.tune.tokens import TokenSequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pennyweight.tune.tokens import Renderer

MAX_TOKENS: Final = 512
_HELD_OUT: Final = 0.04  # of all documents
_PLAIN_CHARS: Final = 1500  # of neighbouring lines that are a document

Document = str | tuple[str, str]
"""Plain text, or a question and its answer."""


def documents(path: Path) -> Iterator[Document]:
    """Those of one file, in its order."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        if ".jsonl" in path.name:
            for line in file:
                yield from _of_entry(json.loads(line))
            return
        lines: list[str] = []
        for line in file:
            lines.append(line)
            if sum(map(len, lines)) >= _PLAIN_CHARS:
                yield "".join(lines)
                lines = []


def _of_entry(entry: dict[str, Any]) -> Iterator[Document]:
    if isinstance(entry.get("text"), str):
        yield entry["text"]
    elif isinstance(entry.get("messages"), list):
        texts = [message.get("content") for message in entry["messages"][:2]]
        if len(texts) == 2 and all(isinstance(text, str) for text in texts):
            yield texts[0], texts[1]
    elif isinstance(entry.get("instruction"), str):
        for given in entry.get("instances", [entry]):
            answer = given.get("output") or given.get("response")
            if isinstance(answer, str):
                yield f"{entry['instruction']}\n\n{given.get('input') or ''}".strip(), answer


def is_held_out(document: Document) -> bool:
    """The same in every run, and copies are on the same side."""
    digest = hashlib.sha256(json.dumps(document).encode()).digest()
    return int.from_bytes(digest[:8], "big") < _HELD_OUT * 2**64


def encoded(given: Iterable[Document], renderer: Renderer) -> list[Group]:
    """A group of one sequence each, every token but the first of which is predicted."""
    groups: list[Group] = []
    for document in given:
        tokens = _tokens(document, renderer)[:MAX_TOKENS]
        if len(tokens) > 1:
            groups.append(Group(len(groups), (TokenSequence(tuple(tokens), ((1, len(tokens)),)),)))
    return groups


def _tokens(document: Document, renderer: Renderer) -> Sequence[int]:
    if isinstance(document, str):
        return renderer.tokenizer.encode(document)
    question, answer = (TextPart(text) for text in document)
    messages = (Message(role="user", parts=(question,)), Message(role="assistant", parts=(answer,)))
    example = Example(line=1, conversation=Conversation(messages=messages), trained=(1,))
    return renderer.supervised(example)[0].tokens
