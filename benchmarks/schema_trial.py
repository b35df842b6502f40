"""One schema on trial: compiled or refused, sampled from, and judged by `jsonschema`."""

from __future__ import annotations

import json
import random
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import referencing.exceptions
from jsonschema.validators import validator_for  # type: ignore[import-untyped]

from pennyweight.errors import EngineError, InvalidRequestError
from pennyweight.text.grammar.references import PointerError, resolve
from pennyweight.text.grammar.refusal import SchemaError
from pennyweight.text.grammar.source import json_schema
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.grammar.mask import GrammarMask

SAMPLES = 4
MAX_TOKENS = 600
CLOSING = b'"}],'
"""Drawn more often than others, or random strings and objects would never end."""

_DRAFTS = {
    "draft4": jsonschema.Draft4Validator,
    "draft6": jsonschema.Draft6Validator,
    "draft7": jsonschema.Draft7Validator,
    "draft2019-09": jsonschema.Draft201909Validator,
    "draft2020-12": jsonschema.Draft202012Validator,
}


@dataclass(slots=True)
class Verdict:
    """What came of one schema. `refused` names the keyword, or says what else was the reason."""

    refused: str | None = None
    reason: str = ""
    samples: int = 0
    unfinished: int = 0
    unjudged: int = 0
    invalid: int = 0
    valid: int = 0
    valid_reached: int = 0
    failed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class SchemaTrial:
    """`draft` overrides what the schema says of itself; `seed` makes the samples repeatable."""

    def __init__(
        self, compiler: GrammarCompiler, tokenizer: Tokenizer, schema: Any, *, draft: str | None, seed: str
    ) -> None:
        self._compiler = compiler
        self._tokenizer = tokenizer
        self._schema = schema
        self._rng = random.Random(seed)
        draft_class = _DRAFTS.get(draft or "") or validator_for(schema, jsonschema.Draft202012Validator)
        self._validator = draft_class(schema, format_checker=draft_class.FORMAT_CHECKER)

    def run(self, tests: list[dict[str, Any]]) -> Verdict:
        """Compile, sample, and try the instances in `tests` (`data`, `valid`)."""
        verdict = Verdict()
        try:
            grammar = self._compiler.compile(json_schema(self._schema, param="schema"))
        except SchemaError as error:
            verdict.refused, verdict.reason = error.keyword or "size", error.message[:300]
            return verdict
        except InvalidRequestError as error:
            verdict.refused, verdict.reason = _cause(error.message), error.message[:300]
            return verdict
        for _ in range(SAMPLES):
            self._sample(grammar, verdict)
        for test in tests:
            self._try(grammar, test["data"], valid=test["valid"], verdict=verdict)
        return verdict

    def _sample(self, grammar: GrammarMask, verdict: Verdict) -> None:
        try:
            text = self._random_answer(grammar.fork())
        except EngineError as error:
            verdict.failed.append(error.message[:200])
            return
        if text is None:
            verdict.unfinished += 1
            return
        verdict.samples += 1
        try:
            problem = self._problem(text)
        except (re.error, RecursionError, referencing.exceptions.Unresolvable):
            verdict.unjudged += 1  # the judge reads neither every pattern nor every reference
            return
        if problem is not None:
            verdict.violations.append(f"sample {text[:200]!r}: {problem[:200]}")

    def _problem(self, text: str) -> str | None:
        try:
            value = json.loads(text)
        except ValueError as error:
            return f"not JSON: {error}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = next(iter(self._validator.iter_errors(value)), None)
        return None if found is None else str(found.message)

    def _random_answer(self, grammar: GrammarMask) -> str | None:
        tokens: list[int] = []
        ends = self._tokenizer.end_token_ids
        while len(tokens) < MAX_TOKENS:
            allowed = _tokens_of(grammar.mask())
            going_on = [token for token in allowed if token not in ends]
            if len(going_on) < len(allowed) and (not going_on or self._rng.random() < 0.5):
                return b"".join(map(self._tokenizer.token_bytes, tokens)).decode()
            closing = [t for t in going_on if self._tokenizer.token_bytes(t) in (b'"', b"}", b"]")]
            pool = closing if closing and self._rng.random() < 0.2 else going_on
            tokens.append(self._rng.choice(pool))
            grammar.accept(tokens[-1])
        return None

    def _try(self, grammar: GrammarMask, data: Any, *, valid: bool, verdict: Verdict) -> None:
        reached = {self._reaches(grammar, spelled) for spelled in (data, self._in_order(data, self._schema))}
        if valid:
            verdict.valid += 1
            verdict.valid_reached += True in reached
            return
        verdict.invalid += 1
        if True in reached:
            verdict.violations.append(f"invalid instance {json.dumps(data)[:200]} can be generated")

    def _reaches(self, grammar: GrammarMask, data: Any) -> bool:
        grammar = grammar.fork()
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        for token in self._tokenizer.encode_continuation(text):
            try:
                if not grammar.mask()[token // 8] >> token % 8 & 1:
                    return False
                grammar.accept(token)
            except EngineError:
                return False  # the answer would fail, not be wrong
        return grammar.complete

    def _in_order(self, data: Any, schema: Any, depth: int = 0) -> Any:
        """`data` with the keys of objects in the order of their schema, where that is plain to see."""
        if not isinstance(schema, dict) or depth > 20:
            return data
        if isinstance(schema.get("$ref"), str):
            try:
                return self._in_order(data, resolve(self._schema, schema["$ref"]), depth + 1)
            except PointerError:
                return data
        if isinstance(data, list):
            items = schema.get("items")
            return [self._in_order(item, items, depth + 1) for item in data]
        if not isinstance(data, dict):
            return data
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            return data
        names = (
            [*properties, *schema.get("required", [])]
            if isinstance(schema.get("required"), list)
            else [*properties]
        )
        rank = {name: position for position, name in reversed(list(enumerate(names)))}
        ordered = sorted(data, key=lambda name: rank.get(name, len(names)))
        return {name: self._in_order(data[name], properties.get(name), depth + 1) for name in ordered}


def byte_tokenizer() -> Tokenizer:
    """A vocabulary of all bytes and a few longer tokens: what a grammar lets through is a matter of text."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    letters = [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(256)]
    merges = ['" :', "Ġ t", "i n", "e r", '" ,', "0 0"]
    tokens = ["<|end|>", *letters, *(merge.replace(" ", "") for merge in merges)]
    return Tokenizer.from_metadata(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3] + [1] * (len(tokens) - 1),
            "tokenizer.ggml.merges": merges,
            "tokenizer.ggml.eos_token_id": 0,
        }
    )


def _tokens_of(mask: bytes) -> list[int]:
    return [8 * at + bit for at, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1]


def _cause(message: str) -> str:
    """A short name for what the compiler of grammars complained about."""
    signs = (
        "Unsatisfiable",
        "too large",
        "oneOf",
        "patternProperty",
        "min/maxProperties",
        "circular",
        "regex",
    )
    return next((sign for sign in signs if sign.lower() in message.lower()), "other")
