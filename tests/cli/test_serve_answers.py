"""A real `penny serve` process, asked for completions and responses by the official client in strict mode."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import openai
from pydantic import BaseModel

from tests.cli.test_serve import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


class Light(BaseModel):
    on: bool


def test_completions_and_responses_run_unchanged(penny: Penny, tiny_llama_path: Path) -> None:
    process, url = started(penny, tiny_llama_path)
    try:
        client = openai.OpenAI(
            base_url=f"{url}/v1", api_key="sk-any", max_retries=0, _strict_response_validation=True
        )
        told = client.completions.create(model="gpt-4o-mini", prompt=["a", "b"], echo=True, max_tokens=3)
        assert [choice.text[0] for choice in told.choices] == ["a", "b"]
        assert told.model == "tiny-llama"
        answer = client.responses.create(model="gpt-4o-mini", input="Hi", max_output_tokens=3)
        assert (answer.model, answer.status) == ("tiny-llama", "incomplete")
        parsed = client.responses.parse(model="gpt-4o-mini", input="Hi", text_format=Light)
        assert isinstance(parsed.output_parsed, Light)
        with client.responses.stream(model="gpt-4o-mini", input="Hi", text_format=Light) as stream:
            final = stream.get_final_response()
        assert isinstance(final.output_parsed, Light)
        # As OpenAI does: null, which the client's types do not know.
        scored = httpx.post(
            f"{url}/v1/completions",
            json={"model": "tiny-llama", "prompt": "ab", "echo": True, "logprobs": 0, "max_tokens": 0},
        ).json()
        assert scored["choices"][0]["logprobs"]["token_logprobs"][0] is None
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
