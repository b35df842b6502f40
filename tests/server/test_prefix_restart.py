"""Prefixes on disk as an operator has them: `penny serve --prefix-cache-dir`, killed and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.jobs.service import Service
from tests.models.tiny import write_tiny_llama
from tests.server.live import eventually

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "".join(f"line {number}. " for number in range(70))  # a token a byte, about


def test_a_prompt_is_not_computed_again_after_a_kill(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "tiny.gguf", context_length=1024)
    folder = tmp_path / "prefixes"
    service = Service(model, tmp_path / "data", "--prefix-cache-dir", str(folder))
    told = []
    try:
        for _ in range(2):
            service.start()
            with service.client as client:
                answer = client.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": PROMPT}], max_tokens=8, seed=1
                )
            assert answer.usage is not None
            assert answer.usage.prompt_tokens_details is not None
            told.append((answer.choices[0].message.content, answer.usage.prompt_tokens_details.cached_tokens))
            num_whole = answer.usage.prompt_tokens // 64
            eventually(lambda whole=num_whole: len([*folder.rglob("*.page")]) >= whole)  # type: ignore[misc]
            service.kill()
    finally:
        service.kill()
    (cold, before), (warm, after) = told
    assert warm == cold
    assert before == 0
    assert after is not None
    assert after >= 64 * num_whole - 64
