"""One schema of a document: its own keywords checked and rewritten, its subschemas sent on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.text.grammar.formats import FORMATS, NUMERIC_FORMATS
from pennyweight.text.grammar.keywords import (
    ANNOTATIONS,
    COUNTS,
    LIST_OF_SCHEMAS,
    MAP_OF_SCHEMAS,
    NEUTRAL,
    ONE_SCHEMA,
    REFUSED,
    TYPES,
    WITHOUT_PARTNER,
)
from pennyweight.text.grammar.meeting import MAX_PATTERNS_AT_ONCE, patterns_at_once
from pennyweight.text.grammar.numbers import (
    LARGEST_BOUND,
    LOWER,
    UPPER,
    NumberError,
    bound_integers,
    check_constant,
    check_multiple,
    exact_bounds,
    keep_off_zero,
    safe_digits,
)
from pennyweight.text.grammar.patterns import PatternError, Reading, rust_pattern
from pennyweight.text.grammar.references import resolve
from pennyweight.text.grammar.refusal import SchemaError, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pennyweight.text.grammar.schema import Path, SchemaWalk

MAX_ITEMS = 4096
"""Items that are counted one by one in the grammar."""

UNREACHABLE = 1 << 24
"""An upper bound no answer's length reaches; it is left out."""


class SchemaNode:
    """Rewrites `schema` in place: the order of its keys stays, for llguidance reads properties in order."""

    def __init__(self, walk: SchemaWalk, schema: dict[str, Any], path: Path) -> None:
        self._walk = walk
        self._schema = schema
        self._path = path

    def check(self) -> None:
        """SchemaError for the first keyword that cannot be enforced; if not strict it is left out instead."""
        steps = (
            self._leave_out,
            self._check_types,
            self._check_counts,
            self._check_literals,
            self._check_numbers,
            self._check_strings,
            self._check_arrays,
            self._check_objects,
            self._check_one_of,
            self._check_all_of,
            self._descend,
        )
        for step in steps:
            while (error := self._attempt(step)) is not None:
                if self._walk.strict or error.keyword not in self._schema:
                    raise error
                del self._schema[error.keyword]
                self._walk.dropped.append(error.param or error.keyword)

    @staticmethod
    def _attempt(step: Callable[[], None]) -> SchemaError | None:
        try:
            step()
        except SchemaError as error:
            return error
        return None

    def _refuse(self, keyword: str, why: str) -> SchemaError:
        return refuse(keyword, self._path, why, param=self._walk.param)

    def _leave_out(self) -> None:
        """Drops what forbids nothing; refuses what cannot be enforced."""
        schema = self._schema
        dialect = str(schema.get("$schema", self._walk.dialect))
        for key in ("$id", "id"):
            is_id = isinstance(schema.get(key), str) and (key == "$id" or "draft-0" in dialect)
            if is_id and self._path:
                self._walk.nested_id(self._path)
            if is_id:
                del schema[key]
        if "prefixItems" in schema and "draft-0" in dialect:
            raise self._refuse("prefixItems", f"{dialect} does not know it")
        if not self._path:
            self._walk.dialect = dialect
        for keyword in [key for key in schema if key in ANNOTATIONS]:
            del schema[keyword]
        if "if" in schema and not {"then", "else"} & schema.keys():
            del schema["if"]
        for keyword, partner in WITHOUT_PARTNER.items():
            if keyword in schema and partner not in schema:
                del schema[keyword]
        for keyword, why in REFUSED.items():
            if keyword not in schema:
                continue
            if any(schema[keyword] == value for value in NEUTRAL.get(keyword, ())) or self._is_moot(keyword):
                del schema[keyword]
                continue
            raise self._refuse(keyword, why)

    def _is_moot(self, keyword: str) -> bool:
        most = self._schema.get("maxItems")
        return keyword == "uniqueItems" and isinstance(most, int) and most <= 1

    def _check_types(self) -> None:
        if "type" not in self._schema:
            return
        named = self._schema["type"]
        names = named if isinstance(named, list) else [named]
        if not names or not all(isinstance(name, str) and name in TYPES for name in names):
            raise self._refuse("type", f"{named!r} is none of {', '.join(sorted(TYPES))}")

    def _may_be(self, *types: str) -> bool:
        named = self._schema.get("type")
        names = [named] if isinstance(named, str) else named
        return names is None or any(name in types for name in names)

    def _check_counts(self) -> None:
        schema = self._schema
        for keyword in COUNTS:
            value = schema.get(keyword)
            if value is None:
                continue
            if isinstance(value, float) and value.is_integer():
                value = schema[keyword] = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise self._refuse(keyword, f"{value!r} is no count")
            if keyword.startswith("max") and value >= UNREACHABLE:
                del schema[keyword]
            elif keyword.endswith("Items") and value > MAX_ITEMS:
                raise self._refuse(keyword, f"{value} items are more than can be counted ({MAX_ITEMS})")
            elif value >= UNREACHABLE:
                raise self._refuse(keyword, f"no answer is {value} long")

    def _check_literals(self) -> None:
        schema = self._schema
        if "const" in schema:
            self._check_literal(schema["const"], "const")
        if "enum" in schema:
            if not isinstance(schema["enum"], list) or not schema["enum"]:
                raise self._refuse("enum", "it must be a list of at least one value")
            for value in schema["enum"]:
                self._check_literal(value, "enum")

    def _check_literal(self, value: Any, keyword: str) -> None:
        if isinstance(value, str):
            odd = next((c for c in value if (c < " " and c not in "\n\r\t\b\f") or c == "\x7f"), None)
            if odd is not None:
                raise self._refuse(keyword, f"U+{ord(odd):04X} cannot be generated")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                check_constant(value, keyword)
            except NumberError as error:
                raise self._refuse(keyword, str(error)) from error
        elif isinstance(value, list | dict):
            for item in value.values() if isinstance(value, dict) else value:
                self._check_literal(item, keyword)

    def _check_numbers(self) -> None:
        schema = self._schema
        if not self._may_be("integer", "number"):
            for keyword in (*LOWER, *UPPER, "multipleOf"):
                schema.pop(keyword, None)
            return
        try:
            exact_bounds(schema)
            if "multipleOf" in schema:
                multiple = check_multiple(schema["multipleOf"])
                self._walk.multiples.append((multiple, self._path))
                keep_off_zero(schema, schema["multipleOf"])
        except NumberError as error:
            raise self._refuse(error.keyword, str(error)) from error
        if "type" in schema and not self._may_be("number") and not {"const", "enum", "$ref"} & schema.keys():
            bound_integers(schema)
        digits = safe_digits(schema)
        if digits is not None and "multipleOf" not in schema and self._may_be("number"):
            self._walk.exclusive.append((schema, digits, self._path))

    def _check_strings(self) -> None:
        schema = self._schema
        if "pattern" in schema:
            self._walk.note("pattern", self._path)
            schema["pattern"] = self._pattern(schema["pattern"], "pattern")
        if "format" not in schema:
            return
        name = schema["format"]
        if name in NUMERIC_FORMATS and not self._may_be("string"):
            self._bound_integer(schema.pop("format"))
        elif not self._may_be("string"):
            del schema["format"]
        elif not isinstance(name, str) or name not in FORMATS:
            known = ", ".join(sorted(FORMATS))
            raise self._refuse("format", f"{name!r} is not enforced; known are {known}")
        else:
            del schema["format"]
            self._also({"type": "string", "pattern": f"^(?:{FORMATS[name]})$"}, keyword="pattern")

    def _bound_integer(self, name: str) -> None:
        bounds = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, LARGEST_BOUND)}
        if name in bounds:
            lowest, highest = bounds[name]
            self._also({"minimum": lowest, "maximum": highest}, keyword="minimum")

    def _also(self, schema: dict[str, Any], *, keyword: str) -> None:
        """Demands `schema` too: at once if `keyword` is free, else in an `allOf`."""
        types = self._schema.get("type")
        if keyword == "pattern" and "pattern" not in self._schema:
            self._schema["pattern"] = schema["pattern"]
        else:
            member = {**schema, "type": types} if types else schema
            self._schema["allOf"] = [*self._schema.get("allOf", []), member]
            self._walk.skip(member)

    def _pattern(self, pattern: Any, keyword: str, *, reading: Reading = "narrow") -> str:
        if not isinstance(pattern, str):
            raise self._refuse(keyword, "a pattern must be a text")
        try:
            return rust_pattern(pattern, reading)
        except PatternError as error:
            raise self._refuse(keyword, str(error)) from error

    def _check_arrays(self) -> None:
        schema = self._schema
        if isinstance(schema.get("items"), list):
            if "prefixItems" in schema:
                raise self._refuse("prefixItems", "`items` is a list too")
            self._rename({"items": "prefixItems", "additionalItems": "items"})
        else:
            schema.pop("additionalItems", None)  # it says nothing beside one schema for all items

    def _check_objects(self) -> None:
        schema = self._schema
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._refuse("required", "it must be a list of names")
        patterns = schema.get("patternProperties")
        if isinstance(patterns, dict):
            self._translate_names(patterns)
        missing = schema.get("minProperties", 0) - len(set(required))
        closed = schema.get("additionalProperties") is False and not patterns
        if missing > 1 and not closed:
            raise self._refuse("minProperties", "the names of further properties may be equal")
        if missing <= 0:
            schema.pop("minProperties", None)
        optional = isinstance(schema.get("properties"), dict) and not schema["properties"].keys() <= set(
            required
        )
        for keyword in ("minProperties", "maxProperties"):
            if keyword in schema and optional and not self._walk.strict:
                raise self._refuse(keyword, "optional properties are not counted")
        for keyword in ("minProperties", "maxProperties", "patternProperties", "oneOf", "$ref"):
            if keyword in schema:
                self._walk.note(keyword, self._path)

    def _translate_names(self, patterns: dict[str, Any]) -> None:
        """A name that only some engines match must satisfy both what is inside and what is outside."""
        schema, keyword = self._schema, "patternProperties"
        narrow = {self._pattern(key, keyword): value for key, value in patterns.items()}
        wide = {self._pattern(key, keyword, reading="wide"): value for key, value in patterns.items()}
        others = schema.get("additionalProperties", True)
        named = schema.get("properties", {})
        if narrow.keys() != wide.keys() and others is not True and others != {}:
            plain = isinstance(named, dict) and all(name.isascii() and name.isprintable() for name in named)
            if others is not False or not plain:
                raise self._refuse(keyword, "engines disagree which names its classes (\\w, \\d, .) match")
        if len(narrow) < len(patterns) or len(wide) < len(patterns):
            raise self._refuse(keyword, "two of its patterns are the same")
        schema[keyword] = narrow if others is False else wide

    def _check_one_of(self) -> None:
        schema = self._schema
        options = schema.get("oneOf")
        if not isinstance(options, list):
            return
        if not self._walk.disjointness.proven(options):
            if self._walk.strict:
                return  # the compiler of grammars may find a proof
            self._walk.dropped.append(self._refuse("oneOf", "").param or "oneOf")
        if "anyOf" in schema:
            schema["allOf"] = [*schema.get("allOf", []), {"anyOf": schema.pop("oneOf")}]
            return
        self._rename({"oneOf": "anyOf"})

    def _check_all_of(self) -> None:
        if "allOf" not in self._schema:
            return
        root = self._walk.root
        patterns = patterns_at_once(self._schema, lambda reference: resolve(root, reference))
        if patterns > MAX_PATTERNS_AT_ONCE:
            why = f"{patterns} patterns would have to fit one text and {MAX_PATTERNS_AT_ONCE} may"
            raise self._refuse("allOf", why)

    def _rename(self, names: Mapping[str, str]) -> None:
        """Keys get other names and keep their places."""
        items = [(names.get(key, key), value) for key, value in self._schema.items()]
        self._schema.clear()
        self._schema.update(items)

    def _descend(self) -> None:
        schema, walk = self._schema, self._walk
        for keyword in ONE_SCHEMA:
            if keyword in schema:
                walk.visit(schema[keyword], (*self._path, keyword))
        for keyword in LIST_OF_SCHEMAS:
            if keyword in schema:
                if not isinstance(schema[keyword], list):
                    raise self._refuse(keyword, "it must be a list of schemas")
                walk.combined = walk.combined or keyword != "prefixItems"
                self._visit_all(keyword, enumerate(schema[keyword]))
        for keyword in MAP_OF_SCHEMAS:
            if keyword in schema:
                if not isinstance(schema[keyword], dict):
                    raise self._refuse(keyword, "it must be an object of schemas")
                self._visit_all(keyword, schema[keyword].items())
        if "$ref" in schema:
            walk.follow(schema["$ref"], self._path)

    def _visit_all(self, keyword: str, items: Any) -> None:
        for step, schema in items:
            self._walk.visit(schema, (*self._path, keyword, step))
