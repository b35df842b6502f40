"""Requests for the engine's tests, and what the toy decoder must answer to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.core import CacheNamespace, Request, SamplingParams, TokenSpan
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, digest_of, next_token

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = CacheNamespace(model="toy")
GREEDY = SamplingParams(temperature=0.0, max_tokens=20, ignore_eos=True, seed=0)


def request(prompt: Sequence[int], *, sampling: SamplingParams = GREEDY, **fields: Any) -> Request:
    """A request for a text prompt; `fields` as in `core.Request`."""
    chosen: dict[str, Any] = {"id": "r", "namespace": NAMESPACE} | fields
    return Request(prompt=(TokenSpan(tuple(prompt)),), sampling=sampling, **chosen)


def tokens(count: int, *, salt: int = 0) -> list[int]:
    """`count` arbitrary tokens; different salts give different texts from the first token on."""
    return [(salt * 53 + i * i * 17 + i * 5 + 11) % VOCAB_SIZE for i in range(count)]


def expected_text(prompt: Sequence[int], sampling: SamplingParams = GREEDY, *, choice: int = 0) -> list[int]:
    """The toy decoder's text, computed without pages; the end token is left out, as events leave it out."""
    assert sampling.max_tokens is not None
    assert sampling.seed is not None
    ends = sampling.stop_token_ids | (frozenset() if sampling.ignore_eos else END_TOKENS)
    output: list[int] = []
    digest = digest_of(list(prompt))
    while len(output) < sampling.max_tokens:
        token = next_token(
            digest,
            seed=sampling.seed,
            choice=choice,
            temperature=sampling.temperature,
            history=sum(output) if sampling.frequency_penalty else 0,
            num_sampled=len(output),
        )
        while token in ends and len(output) < sampling.min_tokens:
            token = (token + 1) % VOCAB_SIZE
        if token in ends:
            break
        output.append(token)
        digest = digest_of([token], digest)
    return output
