"""Which stored objects a request and its answer name, so that the answer is not kept longer than they are.

Only ids as this server makes them count, where objects have theirs: what a model or a person wrote is
escaped inside of JSON texts and looks like none.
"""

from __future__ import annotations

import re
from typing import Final

_SHAPE: Final = r"[a-z]+(?:_[a-z]+)*[_-][A-Za-z0-9]{24,32}"
_IN_PATH: Final = re.compile(rf"/({_SHAPE})(?=/|$)")
_IN_BODY: Final = re.compile(rf'"(?:id|thread_id|run_id|file_id)":\s*"({_SHAPE})"'.encode())


def told_objects(path: str, body: bytes) -> frozenset[str]:
    """The ids in the path of a request and in the body of its answer, which is JSON or events of JSON."""
    found = {match.decode() for match in _IN_BODY.findall(body)}
    return frozenset(found.union(_IN_PATH.findall(path)))
