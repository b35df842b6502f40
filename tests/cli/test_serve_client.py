"""A real `penny serve` process and the official client that checks every answer against its types."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import httpx
import openai

from tests.cli.test_serve import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny

TUNED = "ft:gpt-4o-mini-2024-07-18:acme::abc123"


def test_code_written_against_openai_runs_unchanged(penny: Penny, tiny_llama_path: Path) -> None:
    flags = ("--alias", f"{TUNED}=tiny-llama", "--alias", "house=tiny-llama", "--allow-host", "penny.lan")
    process, url = started(penny, tiny_llama_path, *flags)
    try:
        client = openai.OpenAI(
            base_url=f"{url}/v1", api_key="sk-any", max_retries=0, _strict_response_validation=True
        )
        schema = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
        form: Any = {
            "type": "json_schema",
            "json_schema": {"name": "light", "schema": {**schema, "additionalProperties": False}},
        }
        for model in ("gpt-4o-mini", TUNED, "house", "tiny-llama"):
            answer = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hi"}], response_format=form
            )
            assert answer.model == "tiny-llama"
            assert set(json.loads(answer.choices[0].message.content or "")) == {"on"}
        assert {model.id for model in client.models.list()} >= {TUNED, "house", "gpt-4o-mini"}
        assert httpx.get(f"{url}/health", headers={"host": "penny.lan"}).status_code == 200
        assert httpx.get(f"{url}/health", headers={"host": "other.lan"}).status_code == 403
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_an_alias_that_stands_for_nothing(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("serve", "--model", str(tiny_llama_path), "--port", "0", "--alias", "a=nobody")
    assert done.returncode == 1
    assert "'nobody', which is not served" in done.stderr
