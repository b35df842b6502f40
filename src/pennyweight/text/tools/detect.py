"""Which dialect a model speaks, told by its own chat template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pennyweight.text.tools import gemma, hermes, llama, mistral, phi
from pennyweight.text.tools.generic import GENERIC, GENERIC_TAUGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.text.tools.dialect import Dialect


def find_dialect(metadata: Mapping[str, Any]) -> Dialect:
    """The dialect of a model file's `tokenizer.chat_template`; the generic one if it has none we know."""
    template = metadata.get("tokenizer.chat_template")
    return dialect_of(template) if isinstance(template, str) else GENERIC


def dialect_of(template: str) -> Dialect:
    """The dialect a chat template was written for.

    Other templates get a generic one, which leaves their own way of listing tools unused.
    """
    if mistral.speaks(template):
        return mistral.MISTRAL_NAMED if mistral.writes_names(template) else mistral.MISTRAL_LIST
    known = (
        (phi.speaks, phi.PHI),
        (llama.speaks, llama.LLAMA),
        (hermes.speaks, hermes.HERMES),
        (gemma.speaks, gemma.GEMMA),
    )
    taught = re.search(r"\btools\b", template) is not None
    other = GENERIC_TAUGHT if taught else GENERIC
    return next((dialect for speaks, dialect in known if speaks(template)), other)
