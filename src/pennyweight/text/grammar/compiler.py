"""Sources become mask providers: compiled under limits, kept, and copied for every answer.

Untrusted grammars are bounded by llguidance's own fuel, which counts work, not time: the same grammar
compiles or is refused on every machine. It cannot be interrupted, so sizes are bounded too. Building a
compiler takes up to a second, and so does compiling the largest schemas: neither belongs on the event loop or
the engine's thread.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from pennyweight.errors import EngineError, InvalidRequestError
from pennyweight.text.grammar.mask import GrammarMask, reason
from pennyweight.text.grammar.refusal import SchemaError
from pennyweight.text.grammar.source import json_object, json_schema
from pennyweight.text.grammar.vocabulary import grammar_tokenizer
from pennyweight.text.grammar.watch import SlowStepError, Watch, WatchedMask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llguidance import LLMatcher, LLParserLimits

    from pennyweight.text.grammar.source import GrammarSource
    from pennyweight.text.tokenizer import Tokenizer

MAX_UNWATCHED_CHARS = 1 << 14
"""Of schemas: one that needs all of them for alternatives takes up to 0.06 s for one step, twice that 0.4."""
KEPT_GRAMMARS = 64
"""Compiled grammars kept for the next request; the least recently used one goes."""


_SIGNS = (
    ("lookaround", "pattern"),
    ("in regex", "pattern"),
    ("oneOf", "oneOf"),
    ("patternProperty", "patternProperties"),
    ("min/maxProperties", "minProperties"),
    ("min/maxProperties", "maxProperties"),
    ("circular reference", "$ref"),
)
"""Words of llguidance's complaints, and the keyword they are about."""


class GrammarCompiler:
    """One per model; safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, *, vocab_size: int | None = None) -> None:
        """`vocab_size` is the number of logits of the model, at least the tokenizer's."""
        self._ends = tokenizer.end_token_ids
        self._vocab_size = vocab_size or tokenizer.vocab_size
        self._tokenizer = grammar_tokenizer(tokenizer, self._vocab_size)
        self._watch = Watch()
        self._owner = ""
        self._kept: OrderedDict[tuple[str, str], LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: str) -> GrammarCompiler:
        """The same compiler, finding only what was compiled for `owner`."""
        own = copy.copy(self)
        own._owner = owner
        return own

    def compile(self, source: GrammarSource) -> GrammarMask:
        """A mask provider at the beginning of an answer.

        InvalidRequestError if the grammar is malformed, too complex, or no text at all satisfies it;
        OverloadedError while others take too much time.
        """
        place = (self._owner, source.text)
        with self._lock:
            matcher = self._kept.get(place)
            if matcher is not None:
                self._kept.move_to_end(place)
        if matcher is None:
            matcher = self._build(source)
            with self._lock:
                self._kept[place] = matcher
                while len(self._kept) > KEPT_GRAMMARS:
                    self._kept.popitem(last=False)
        return self._mask(matcher, source)

    def compile_schema(
        self, schema: Mapping[str, Any] | bool, *, strict: bool, param: str | None = None
    ) -> tuple[GrammarMask, tuple[str, ...]]:
        """A mask for answers valid against `schema`, and the fields of keywords that are not enforced.

        Strict: nothing is left out, or InvalidRequestError names what cannot be enforced. Not strict: as
        much as can be, in the worst case any JSON object.
        """
        try:
            source = json_schema(schema, strict=strict, param=param)
            return self.compile(source), source.dropped
        except InvalidRequestError:
            if strict:
                raise
        return self.compile(json_object()), (param or "schema",)

    def _mask(self, matcher: LLMatcher, source: GrammarSource) -> GrammarMask:
        copy = matcher.deep_copy()
        if source.foreign or len(source.text) > MAX_UNWATCHED_CHARS:
            return WatchedMask(copy, self._watch, end_token_ids=self._ends, vocab_size=self._vocab_size)
        return GrammarMask(copy, end_token_ids=self._ends, vocab_size=self._vocab_size)

    def _build(self, source: GrammarSource) -> LLMatcher:
        from llguidance import LLMatcher

        limits = _limits(foreign=source.foreign)
        matcher = LLMatcher(self._tokenizer, source.text, log_level=0, limits=limits)
        if matcher.is_error():
            raise _refused(reason(matcher), source)
        try:
            first = self._mask(matcher, source)
            if isinstance(first, WatchedMask):
                first.begin()
            first.mask()  # so is the first mask ready for the answer
        except SlowStepError as error:
            raise _refused(error.message, source) from error
        except EngineError as error:
            raise _refused(f"no text satisfies it ({error.message})", source) from error
        return matcher


def _limits(*, foreign: bool) -> LLParserLimits:
    """llguidance's own, but for the states of its lexer (2 kB each, kept) and the work of one step.

    Patterns of repeated classes need more fuel than its 200,000. Of items it allows 50,000, which many like
    alternatives of a schema need, 20,000 of them in a row; a Lark grammar of ten lines with so many takes
    minutes to compile. With these limits and those of `source` the worst compilation found takes about 3 s.
    """
    from llguidance import LLParserLimits

    return LLParserLimits(
        max_items_in_row=2_000 if foreign else 20_000,
        max_lexer_states=20_000,
        step_lexer_fuel=1_000_000,
        step_max_items=1_000 if foreign else 50_000,
        verbose_errors=False,
    )


def _refused(why: str, source: GrammarSource) -> InvalidRequestError:
    places = dict(source.places)
    keyword = next((key for sign, key in _SIGNS if sign in why and key in places), None)
    if keyword == "oneOf":  # llguidance would advise an option of its own
        why = "a value may match two of its options. Use `anyOf`, or make the options exclude each other"
        return SchemaError(f"{places[keyword]}: {why}.", keyword=keyword, param=places[keyword], why=why)
    param = source.param if keyword is None else places[keyword]
    what = "the grammar" if keyword is None else f"{param}: `{keyword}`"
    remedy = "Correct or simplify it." if source.foreign else "Simplify it, or ask without `strict`."
    return InvalidRequestError(f"{what} cannot be enforced: {why}. {remedy}", param=param)
