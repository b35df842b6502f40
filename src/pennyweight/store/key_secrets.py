"""The secret half of a key: made here, shown once, stored as its SHA-256.

A secret has 256 bits from the system's generator. A slow hash (bcrypt, Argon2) makes guessing *passwords*
dear; nobody guesses 256 bits, and every request would pay for it. A fast hash also lets the key be found by
its digest: the time of that search depends on bits of a hash the caller cannot steer, never on the secret's.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Literal

_SECRET_BYTES = 32
SHOWN: Final = 4
PREFIXES: Final = {"project": "sk-proj-", "admin": "sk-admin-"}


@dataclass(frozen=True, slots=True)
class KeySecret:
    """`text` is for its owner's eyes only; the other two may be stored."""

    text: str
    digest: str
    redacted: str

    def __repr__(self) -> str:
        return f"KeySecret({self.redacted})"


def new_secret(kind: Literal["project", "admin"]) -> KeySecret:
    """A fresh one, told apart by its prefix, as OpenAI's are."""
    prefix = PREFIXES[kind]
    text = prefix + secrets.token_urlsafe(_SECRET_BYTES)
    return KeySecret(text=text, digest=digest_of(text), redacted=f"{prefix}...{text[-SHOWN:]}")


def digest_of(text: str) -> str:
    """What a secret is found by: SHA-256 in hex. Any text has one; half a surrogate pair is replaced."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
