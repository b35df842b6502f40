"""What of a JSON schema can be promised: everything in it is enforced, or the schema is refused by name.

The result is a schema in which llguidance enforces every keyword exactly or more tightly, read by draft
2020-12 with draft 4's and 7's forms of `items` and bounds. Found by experiment and repaired here (llguidance
1.9): constants and bounds beyond 2**53 are rounded; `date` allows 29 February in any year; exclusive bounds
let through decimals that floats round to the bound; two equal keys count twice for `minProperties`; `oneOf`
of references is never proven. What is repaired how: `numbers`, `formats`, `patterns`, `disjoint`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pennyweight.text.grammar.disjoint import Disjointness
from pennyweight.text.grammar.endless import Endings
from pennyweight.text.grammar.node import SchemaNode
from pennyweight.text.grammar.numbers import MAX_SUM_OF_MULTIPLES, fit_together, keep_off_zero
from pennyweight.text.grammar.references import PointerError, resolve
from pennyweight.text.grammar.refusal import SchemaError, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

MAX_SCHEMA_CHARS = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 64
MAX_NESTED = 120
"""Schemas inside schemas, references followed: each is a few calls deep in Python, and in the compiler."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class CheckedSchema:
    """`places` are the first uses of keywords that only the compiler can judge, as request fields.

    `dropped` are the keywords that are not enforced, as request fields; none in a strict schema.
    """

    schema: dict[str, Any]
    places: Mapping[str, str]
    dropped: tuple[str, ...] = ()


def enforceable(
    schema: Mapping[str, Any] | bool, *, param: str | None = None, strict: bool = True
) -> CheckedSchema:
    """`schema` for llguidance. SchemaError names a keyword that cannot be enforced and its place.

    If not `strict`, such keywords are dropped; SchemaError is then for what is no schema at all.
    """
    try:
        text = json.dumps(schema)
        if len(text) > MAX_SCHEMA_CHARS:
            raise _refuse_whole(param, f"it has {len(text)} characters and may have {MAX_SCHEMA_CHARS}")
        root = json.loads(text)
    except RecursionError as error:
        raise _too_deep(param) from error
    if root is True:
        root = {}
    if not isinstance(root, dict):
        raise SchemaError(
            f"{param or 'schema'} must be an object that some value satisfies",
            keyword="",
            param=param or "schema",
        )
    walk = SchemaWalk(root, param, strict)
    walk.visit(root, ())
    walk.finish()
    return CheckedSchema(root, walk.places, tuple(walk.dropped))


@dataclass(slots=True)
class SchemaWalk:
    """One walk over everything reachable from the root; rewrites schemas in place."""

    root: dict[str, Any]
    param: str | None
    strict: bool
    dropped: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    combined: bool = False
    """Whether schemas meet anywhere, so that two of their numbers may become one."""
    multiples: list[tuple[Fraction, Path]] = field(default_factory=list)
    exclusive: list[tuple[dict[str, Any], int, Path]] = field(default_factory=list)
    """Schemas with exclusive bounds, and the decimal places that keep numbers off them."""
    dialect: str = ""
    """The root's `$schema`."""
    disjointness: Disjointness = field(init=False)
    _nested: int = 0
    _seen: set[int] = field(default_factory=set)
    _visited: list[tuple[dict[str, Any], Path]] = field(default_factory=list)
    _nested_ids: list[Path] = field(default_factory=list)
    _references: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disjointness = Disjointness(lambda reference: self.resolve(reference, ()))

    def visit(self, schema: Any, path: Path) -> None:
        """Check `schema` and all below it, once."""
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise refuse(
                str(path[-1]), path[:-1], "a schema must be an object or a boolean", param=self.param
            )
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        if len(path) > MAX_DEPTH or len(self._seen) > MAX_NODES or self._nested >= MAX_NESTED:
            raise _too_deep(self.param)
        self._visited.append((schema, path))
        self._nested += 1
        try:
            SchemaNode(self, schema, path).check()
        finally:
            self._nested -= 1

    def skip(self, schema: dict[str, Any]) -> None:
        """`schema` was made here and needs no check."""
        self._seen.add(id(schema))

    def note(self, keyword: str, path: Path) -> None:
        self.places.setdefault(keyword, refuse(keyword, path, "", param=self.param).param or "")

    def follow(self, reference: Any, path: Path) -> None:
        """Visit what `$ref` names."""
        self._references.append(path)
        self.combined = True
        target = self.resolve(reference, path)
        seen = [target]
        while isinstance(target, dict) and set(target) == {"$ref"}:
            target = self.resolve(target["$ref"], path)
            if any(target is earlier for earlier in seen):
                raise refuse("$ref", path, "it leads back to itself and to no schema", param=self.param)
            seen.append(target)
        steps = tuple(str(reference).removeprefix("#").strip("/").split("/")) if len(reference) > 2 else ()
        self.visit(self.resolve(reference, path), steps)

    def resolve(self, reference: Any, path: Path) -> Any:
        try:
            return resolve(self.root, reference)
        except PointerError as error:
            raise refuse("$ref", path, str(error), param=self.param) from error

    def nested_id(self, path: Path) -> None:
        self._nested_ids.append(path)

    def finish(self) -> None:
        """What can be judged only when everything has been seen."""
        if self._nested_ids and self._references:
            error = refuse(
                "$id", self._nested_ids[0], "references would be read relative to it", param=self.param
            )
            if self.strict:
                raise error
            self.dropped.append(error.param or "$id")
        if self._references:
            self._check_ends()
        multiples = [multiple for multiple, _ in self.multiples]
        if self.combined and multiples and not fit_together(multiples):
            why = "the numbers of this schema have no common multiple that is small enough"
            raise refuse("multipleOf", self.multiples[0][1], why, param=self.param)
        if sum(set(multiples)) > MAX_SUM_OF_MULTIPLES:
            why = f"the multiples of this schema add up to more than {MAX_SUM_OF_MULTIPLES}"
            raise refuse("multipleOf", self.multiples[0][1], why, param=self.param)
        for schema, digits, path in self.exclusive:
            self._limit_digits(schema, digits, multiples, path)

    def _check_ends(self) -> None:
        endings = Endings([schema for schema, _ in self._visited], lambda name: self.resolve(name, ()))
        for schema, path in self._visited:
            if endings.endless(schema):
                # Only references make endless values; the first one may be another schema's.
                place = path if "$ref" in schema else self._references[0]
                raise refuse("$ref", place, "it leads to values that never end", param=self.param)

    def _limit_digits(
        self, schema: dict[str, Any], digits: int, multiples: list[Fraction], path: Path
    ) -> None:
        from fractions import Fraction

        for places in range(digits, -1, -1):
            if not multiples or fit_together([*multiples, Fraction(1, 10**places)]):
                schema["multipleOf"] = float(f"1e-{places}") if places else 1
                keep_off_zero(schema, schema["multipleOf"])
                return
        raise refuse("multipleOf", path, "it cannot be combined with exclusive bounds", param=self.param)


def _too_deep(param: str | None) -> SchemaError:
    return _refuse_whole(
        param, f"it holds more than {MAX_NODES} schemas or nests them deeper than {MAX_DEPTH}"
    )


def _refuse_whole(param: str | None, why: str) -> SchemaError:
    place = param or "schema"
    return SchemaError(f"{place}: {why}. Simplify it.", keyword="", param=place)
