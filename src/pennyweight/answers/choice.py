"""One choice's tokens become text and calls: what is not certain yet is held back until it is.

Split characters, beginnings of stop strings and of tool calls wait. End tokens never come here: the engine
keeps them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from pennyweight.answers.events import TextDelta, TokenDetail, ToolCallDelta
from pennyweight.core import FinishReason
from pennyweight.text.detokenizer import Detokenizer
from pennyweight.text.stop import StopStrings
from pennyweight.text.tools.tool import ArgumentsDelta, CallStart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.core import TokenEvent, TokenLogprob
    from pennyweight.text.tokenizer import Tokenizer
    from pennyweight.text.tools.parser import CallParser
    from pennyweight.text.tools.tool import ToolEvent


class ChoiceText:
    """Tokens go in by `push`, what is final comes out of `take`. After `stopped` nothing more comes."""

    def __init__(
        self,
        index: int,
        *,
        tokenizer: Tokenizer,
        prompt_tail: tuple[int, ...],
        stop: tuple[str, ...],
        parser: CallParser | None = None,
        shown: frozenset[int] = frozenset(),
    ) -> None:
        """`parser` finds calls of tools; it needs to see the control tokens in `shown`."""
        self.index = index
        self.stopped = False  # by a stop string
        self.num_tokens = 0  # up to and including the one that completed a stop string
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, prompt_tail=prompt_tail, shown=shown)
        self._stop = StopStrings(stop)
        self._parser = parser
        self._pieces = _Pieces(index)
        self._details: list[TokenDetail] = []  # final, not taken yet
        self._held: list[tuple[int, TokenDetail]] = []  # with the length of text at which each is final
        self._produced = 0  # characters that left the detokenizer
        self._emitted = 0  # characters that left the stop strings
        self._ended = False

    @property
    def has_calls(self) -> bool:
        """Whether a call has begun."""
        return bool(self._pieces.kinds)

    def push(self, event: TokenEvent) -> bool:
        """Take one more token; True if it completed a stop string, and so the text."""
        if self.stopped:
            return False
        self.num_tokens += 1
        text = self._detokenizer.push(event.token)
        self._produced += len(text)
        if event.logprob is not None:
            detail = token_detail(self._tokenizer, event.token, event.logprob, event.top)
            self._held.append((self._produced, detail))
        if text:
            self._decide(text)
        return self.stopped

    def end(self, reason: FinishReason) -> None:
        """The engine has ended the choice: what is held back is final now."""
        self._ended = True
        if not self.stopped:
            rest = self._detokenizer.flush()
            self._produced += len(rest)
            self._decide(rest)
        if not self.stopped:
            self._emit(self._stop.flush())
        if self._parser is not None:
            is_cut = reason is FinishReason.LENGTH and not self.stopped
            self._pieces.add(self._parser.break_off() if is_cut else self._parser.flush())

    def take(self) -> list[TextDelta | ToolCallDelta]:
        """What has become final since the last call; details of tokens come with the first piece."""
        pieces = self._pieces.take()
        if not self._details or not (pieces or self._parser is None or self._ended):
            return pieces  # a parser holds text back: its details wait for it
        details, self._details = tuple(self._details), []
        if not pieces:
            return [TextDelta(self.index, "", details)]
        return [replace(pieces[0], details=details), *pieces[1:]]

    def _decide(self, text: str) -> None:
        safe, stop = self._stop.push(text)
        self.stopped = stop is not None
        self._emit(safe)

    def _emit(self, text: str) -> None:
        if self._parser is None:
            self._pieces.add_text(text)
        else:
            self._pieces.add(self._parser.push(text))
        self._emitted += len(text)
        while self._held and self._held[0][0] <= self._emitted:
            self._details.append(self._held.pop(0)[1])


class _Pieces:
    """Text and calls of one choice, neighbouring pieces of one kind joined."""

    def __init__(self, choice: int) -> None:
        self.kinds: dict[int, str] = {}  # of the calls begun
        self._choice = choice
        self._pieces: list[TextDelta | ToolCallDelta] = []
        self._texts: list[str] = []  # behind the pieces, not joined yet

    def take(self) -> list[TextDelta | ToolCallDelta]:
        self._join()
        taken, self._pieces = self._pieces, []
        return taken

    def add(self, events: Iterable[ToolEvent]) -> None:
        for event in events:
            if isinstance(event, CallStart):
                self._join()
                self.kinds[event.index] = event.kind
                start = ToolCallDelta(
                    choice=self._choice,
                    index=event.index,
                    id=f"call_{uuid4().hex[:24]}",
                    name=event.name,
                    kind=event.kind,
                )
                self._pieces.append(start)
            elif isinstance(event, ArgumentsDelta):
                self._add_arguments(event)
            else:
                self.add_text(event.text)

    def add_text(self, text: str) -> None:
        if text:
            self._texts.append(text)

    def _join(self) -> None:
        if self._texts:
            self._pieces.append(TextDelta(self._choice, "".join(self._texts)))
            self._texts.clear()

    def _add_arguments(self, event: ArgumentsDelta) -> None:
        self._join()
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, ToolCallDelta) and last.index == event.index:
            self._pieces[-1] = replace(last, arguments=last.arguments + event.text)
            return
        custom = self.kinds[event.index] == "custom"
        more = ToolCallDelta(
            choice=self._choice,
            index=event.index,
            arguments=event.text,
            kind="custom" if custom else "function",
        )
        self._pieces.append(more)


def token_detail(
    tokenizer: Tokenizer, token: int, logprob: float, top: Iterable[TokenLogprob]
) -> TokenDetail:
    """The engine's ids as texts."""
    others = tuple(TokenDetail(tokenizer.token_bytes(item.token), item.logprob) for item in top)
    return TokenDetail(tokenizer.token_bytes(token), logprob, others, token)
