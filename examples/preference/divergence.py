"""How far a tuned model went from its base: KL(tuned || base), estimated over the tuned model's own answers.

Both models score the same tokens (`echo` with `logprobs`, nothing generated); the mean of the difference of
their log-probabilities over answers sampled at temperature 1 is an unbiased estimate of the divergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import openai


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """In nats, over whole answers and over their tokens."""

    per_answer: float
    per_token: float


def divergence(
    client: openai.OpenAI, *, tuned: str, base: str, prompts: Sequence[str], answers: Sequence[str]
) -> Divergence:
    """`answers` were sampled from `tuned`, one for each of `prompts`."""
    nats, num_tokens = 0.0, 0
    for prompt, answer in zip(prompts, answers, strict=True):
        before = _tokens(client, model=base, messages=[{"role": "user", "content": prompt}])
        after = _tokens(client, model=base, prompt=answer, add_special_tokens=False, parse_special=False)
        if not after:
            continue
        scores = [_log_probability(client, name, before, after) for name in (tuned, base)]
        nats += scores[0] - scores[1]
        num_tokens += len(after)
    return Divergence(per_answer=nats / len(answers), per_token=nats / max(1, num_tokens))


def _log_probability(client: openai.OpenAI, model: str, before: list[int], after: list[int]) -> float:
    done = client.completions.create(model=model, prompt=before + after, max_tokens=0, echo=True, logprobs=1)
    scored = done.choices[0].logprobs
    assert scored is not None
    assert scored.token_logprobs is not None
    return sum(scored.token_logprobs[len(before) :])


def _tokens(client: openai.OpenAI, **body: Any) -> list[int]:
    """Of the server's own `/tokenize`, which renders messages by the model's template."""
    root = str(client.base_url).removesuffix("v1/")
    told: dict[str, Any] = client.post(f"{root}tokenize", body=body, cast_to=dict[str, Any])
    return list(told["tokens"])
