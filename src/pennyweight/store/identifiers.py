"""Identifiers nobody can guess: a prefix that says what it is, then 24 random letters and digits.

Prefixes are OpenAI's: `file-`, `batch_`, `batch_req_`, `proj_`, `key_`, `svc_acct_`, `resp_`, `conv_`,
`msg_`, `chatcmpl-`. 24 of 62 characters are 142 bits.
"""

from __future__ import annotations

import re
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 24
_MADE = re.compile(rf"[a-z_]+[-_][{_ALPHABET}]{{{_LENGTH},40}}")


def new_id(prefix: str) -> str:
    """A fresh identifier that starts with `prefix`."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def may_be_made(text: str) -> bool:
    """Whether `text` has the shape of an identifier: it may have named something that was deleted since."""
    return _MADE.fullmatch(text) is not None
