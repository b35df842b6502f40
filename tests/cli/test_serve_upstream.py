"""`penny serve --model none --upstream ...`: a server that only passes requests on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import httpx
import openai

from tests.cli.test_serve import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


def test_a_server_without_a_model_of_its_own(penny: Penny, tiny_llama_path: Path) -> None:
    far, far_url = started(penny, tiny_llama_path, "--api-key", "k")
    flags = ("--port", "0", "--data", str(penny.home / "front"))
    upstream = ("--upstream", f"far={far_url}/v1#tiny-llama")
    front = penny.start("serve", "--model", "none", *flags, *upstream, FAR_API_KEY="k")
    try:
        assert front.stderr is not None
        line = front.stderr.readline()
        assert line.startswith("Serving far at ")
        url = line.split()[3].removesuffix("/v1")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
        for model in ("far", "gpt-4o-mini"):
            answer = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=3
            )
            assert answer.model == "far"
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 3
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert "pennyweight_http_responses" in httpx.get(f"{url}/metrics").text
        assert httpx.post(f"{url}/tokenize", json={"prompt": "Hi"}).status_code == 400
        assert "far" in {model.id for model in client.models.list()}
    finally:
        for process in (front, far):
            process.send_signal(signal.SIGTERM)
        outputs = [process.communicate(timeout=60) for process in (front, far)]
    assert [process.returncode for process in (front, far)] == [0, 0]
    assert "Traceback" not in str(outputs)


def test_a_key_that_is_missing_starts_nothing(penny: Penny) -> None:
    folder = penny.home / "config" / "pennyweight"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[models.far]\nupstream = "http://x/v1"\nkey = "NO_SUCH_KEY"\n')
    done = penny.run("serve", "--model", "none", "--port", "0")
    assert done.returncode == 1
    assert "NO_SUCH_KEY, which is not set" in done.stderr


def test_a_name_that_is_taken(penny: Penny, tiny_llama_path: Path) -> None:
    upstream = "tiny-llama=http://x/v1"
    done = penny.run("serve", "--model", str(tiny_llama_path), "--port", "0", "--upstream", upstream)
    assert done.returncode == 1
    assert "two models are served as 'tiny-llama'" in done.stderr
