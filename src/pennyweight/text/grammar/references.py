"""`$ref` within one document: `#` and JSON pointers (RFC 6901). Nothing is ever fetched."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote


class PointerError(ValueError):
    """Says why a reference cannot be followed."""


def resolve(root: Any, reference: Any) -> Any:
    """The schema `reference` names in `root`."""
    if not isinstance(reference, str):
        raise PointerError("it is no text")
    if reference in ("#", "#/"):
        return root
    if not reference.startswith("#/"):
        raise PointerError(f"{reference[:80]!r} is no pointer into this schema (#/...)")
    target = root
    for step in reference[2:].split("/"):
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and key in target:
            target = target[key]
        elif isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        else:
            raise PointerError(f"{reference[:80]!r} names nothing in this schema")
    return target
