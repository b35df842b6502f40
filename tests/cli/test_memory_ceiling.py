"""`--memory`: a real server keeps under its ceiling while more is asked than fits, or does not start."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from tests.cli.penny import Penny

MIB = 2**20
REQUESTS = 24
PROMPT_TOKENS = 1200
ANSWER_TOKENS = 300


@pytest.fixture(scope="module")
def hungry_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights, large keys and values: 8,960 bytes a token."""
    folder = tmp_path_factory.mktemp("hungry")
    shape = {"num_layers": 8, "num_heads": 8, "num_kv_heads": 8, "head_dim": 64, "context_length": 4096}
    return write_tiny_llama(folder / "hungry.gguf", **shape)


def needed_mib(penny: Penny, model: Path) -> int:
    """What the refusal says is needed, by a process of its own: this one is larger."""
    process = penny.start("serve", "--model", str(model), "--port", "0", "--memory", "40MiB")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = errors.splitlines()
    told = re.search(r"memory is 40 MiB, too little: the model needs ([\d,]+) MiB: .* weights", line)
    assert told, line
    return int(told[1].replace(",", ""))


def test_a_ceiling_is_kept_and_everybody_answered(penny: Penny, hungry_model: Path) -> None:
    ceiling = needed_mib(penny, hungry_model) + 60
    process = penny.start(
        "serve", "--model", str(hungry_model), "--port", "0", "--threads", "1", "--memory", f"{ceiling}MiB"
    )
    assert process.stderr is not None
    try:
        url = re.search(r"http://[^/]+", process.stderr.readline())
        assert url

        def ask(number: int) -> int:
            prompt = [3 + (number * 31 + place * 7) % 250 for place in range(PROMPT_TOKENS)]
            body = {
                "model": "hungry",
                "prompt": prompt,
                "max_tokens": ANSWER_TOKENS,
                "min_tokens": ANSWER_TOKENS,
            }
            answer = httpx.post(f"{url[0]}/v1/completions", json=body, timeout=120)
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["prompt_tokens"] == PROMPT_TOKENS
            return int(answer.json()["usage"]["completion_tokens"])

        with ThreadPoolExecutor(REQUESTS) as clients:
            assert set(clients.map(ask, range(REQUESTS))) == {ANSWER_TOKENS}
        assert _metric(url[0], "pennyweight_preemptions_total") > 0
        pages = _metric(url[0], "pennyweight_kv_pages")
        wanted = REQUESTS * PROMPT_TOKENS / 64
        assert 0 < pages < wanted / 2, "the pool was too large to be fought for"
        peak = _status_kib(process.pid, "VmHWM") * 1024
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert peak <= ceiling * MIB
    assert peak > pages * 64 * 8960, "the pages were never used"


def test_a_context_that_does_not_fit_is_refused(penny: Penny, hungry_model: Path) -> None:
    ceiling = f"{needed_mib(penny, hungry_model) + 10}MiB"
    arguments = ("--memory", ceiling, "--context", "4096", "--parallel", "8")
    process = penny.start("serve", "--model", str(hungry_model), "--port", "0", *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = errors.splitlines()
    assert re.search(r"8 x 4096 tokens of context need 280 MiB .* what --memory .* leaves is \d+ MiB", line)


def test_an_amount_that_is_none(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("run", "--model", str(tiny_llama_path), "--memory", "plenty", "Hi")
    assert done.returncode == 1
    assert "memory is 'plenty'; write an amount such as 1.5GiB or 800MB" in done.stderr


def _metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}{{"))


def _status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
