"""Sources become mask providers: compiled under limits, kept, and copied for every answer.

Untrusted grammars are bounded by llguidance's own fuel, which counts work, not time: the same grammar
compiles or is refused on every machine. Building a compiler takes up to a second, and so does compiling the
largest schemas: neither belongs on the event loop or the engine's thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from pennyweight.errors import EngineError, InvalidRequestError
from pennyweight.text.grammar.mask import GrammarMask, reason
from pennyweight.text.grammar.vocabulary import grammar_tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits

    from pennyweight.text.grammar.source import GrammarSource
    from pennyweight.text.tokenizer import Tokenizer

KEPT_GRAMMARS = 64
"""Compiled grammars kept for the next request; the least recently used one goes."""


class GrammarCompiler:
    """One per model; safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, *, vocab_size: int | None = None) -> None:
        """`vocab_size` is the number of logits of the model, at least the tokenizer's."""
        self._ends = tokenizer.end_token_ids
        self._tokenizer = grammar_tokenizer(tokenizer, vocab_size or tokenizer.vocab_size)
        self._limits = _limits()
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, source: GrammarSource) -> GrammarMask:
        """A mask provider at the beginning of an answer.

        InvalidRequestError if the grammar is malformed, too complex, or no text at all satisfies it.
        """
        with self._lock:
            matcher = self._kept.get(source.text)
            if matcher is not None:
                self._kept.move_to_end(source.text)
        if matcher is None:
            matcher = self._build(source)
            with self._lock:
                self._kept[source.text] = matcher
                while len(self._kept) > KEPT_GRAMMARS:
                    self._kept.popitem(last=False)
        return GrammarMask(matcher.deep_copy(), self._ends)

    def _build(self, source: GrammarSource) -> LLMatcher:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, source.text, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise _refused(reason(matcher), source)
        try:
            GrammarMask(matcher.deep_copy(), self._ends).mask()  # so is the first mask ready for the answer
        except EngineError as error:
            raise _refused(f"no text satisfies it ({error.message})", source) from error
        return matcher


def _limits() -> LLParserLimits:
    """llguidance's own but for the states of its lexer, at 1 to 2 kB each."""
    from llguidance import LLParserLimits

    return LLParserLimits(max_lexer_states=100_000, verbose_errors=False)


def _refused(why: str, source: GrammarSource) -> InvalidRequestError:
    return InvalidRequestError(
        f"the grammar cannot be enforced: {why}. Simplify it, or ask without `strict`.", param=source.param
    )
