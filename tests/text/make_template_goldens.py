"""Writes `template_goldens.json`: what `transformers` renders for each template and conversation.

Run with `python -m tests.text.make_template_goldens` where `transformers` is installed. An entry is the
length and the first 16 hex digits of the SHA-256 of the text, or "error".
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.text.conversations import CONVERSATIONS, NOW, SPECIAL_TOKENS

HERE = Path(__file__).parent


def load_templates(archive: Path) -> dict[str, str]:
    """Sources by name, the extension left off."""
    with tarfile.open(archive) as files:
        return {
            Path(member.name).stem: files.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in files
            if member.name.endswith(".jinja")
        }


def render_with_transformers(source: str, conversation: dict[str, Any]) -> str | None:
    """The rendering at the fixed time `NOW`, or None where the template refuses the conversation."""
    from transformers.utils import chat_template_utils

    class FixedDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return NOW

    chat_template_utils.datetime = FixedDatetime
    options = {"add_generation_prompt": True, **SPECIAL_TOKENS, **conversation}
    messages = options.pop("messages")
    try:
        rendered, _ = chat_template_utils.render_jinja_template([messages], chat_template=source, **options)
    except Exception:
        return None
    return str(rendered[0])


def golden(text: str | None) -> str:
    return "error" if text is None else f"{len(text)} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def main() -> None:
    shared = Path(os.environ.get("PENNYWEIGHT_SHARED", HERE.parents[2] / "shared"))
    templates = load_templates(shared / "data" / "tokenizers" / "chat_templates.tar.gz")
    goldens = {
        name: {key: golden(render_with_transformers(source, talk)) for key, talk in CONVERSATIONS.items()}
        for name, source in sorted(templates.items())
    }
    (HERE / "template_goldens.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
