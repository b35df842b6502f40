"""The sampler of docs/numerics.md in NumPy: one position's logits to one token, with nothing remembered.

The random number is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), a
function of seed, choice and the count of tokens so far. Shape letter: V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.native.reference_exact import LOG2E, exp2, tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pennyweight.native.reference_blocks import Floats

F32 = np.float32
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """The arguments of `Decoder.open_sampler` that decide a token."""

    seed: int
    choice: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    end_tokens: Sequence[int] = ()
    min_tokens: int = 0
    prompt: Sequence[int] = ()


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox4x32."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            product1 >> 32 ^ c1 ^ k0,
            product1 & _WORD,
            product0 >> 32 ^ c3 ^ k1,
            product0 & _WORD,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def uniform(seed: int, choice: int, count: int) -> float:
    """In (0, 1): the middles of 2^24 equal parts."""
    return ((philox((count, 0, choice, 0), (seed & _WORD, seed >> 32 & _WORD))[0] >> 8) + 0.5) * 2.0**-24


def log_probabilities(z_V: Floats) -> NDArray[np.float64]:
    """Natural, of the raw logits. The compiled sampler rounds these to float32 in an order of its own."""
    shifted = z_V.astype(np.float64) - float(z_V.max())
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def adjust(z_V: Floats, sampler: Sampler, output: Sequence[int], allowed: NDArray[np.bool_] | None) -> Floats:
    """Penalties, bias, mask and the ban on early end tokens, in this order."""
    a = z_V.astype(F32)
    if sampler.repetition_penalty != 1.0:
        seen = sorted({*sampler.prompt, *output})
        r = F32(sampler.repetition_penalty)
        a[seen] = np.where(a[seen] > 0, a[seen] / r, a[seen] * r)
    for token, count in Counter(output).items():
        a[token] -= F32(sampler.presence_penalty) + F32(sampler.frequency_penalty) * F32(count)
    for token, bias in sampler.logit_bias.items():
        a[token] += F32(bias)
    if allowed is not None:
        a[~allowed] = -np.inf
    if len(output) < sampler.min_tokens:
        a[list(sampler.end_tokens)] = -np.inf
    return a


def sample(
    z_V: Floats, sampler: Sampler, *, output: Sequence[int] = (), allowed: NDArray[np.bool_] | None = None
) -> int:
    """The token that follows `output` (the tokens this sampler has chosen so far)."""
    a = adjust(z_V, sampler, output, allowed)
    if sampler.temperature == 0:
        return int(a.argmax())
    p = weights(a, sampler.temperature)
    u = uniform(sampler.seed, sampler.choice, len(output))
    if sampler.top_k or sampler.top_p < 1 or sampler.min_p > 0:
        order = candidates(p, sampler)
        running = np.cumsum(p[order].astype(np.float64))
        return int(order[np.argmax(running > u * running[-1])])
    return _sample_all(p, u)


def weights(a: Floats, temperature: float) -> Floats:
    """Unnormalised probabilities, 1 for the likeliest token and 0 for the impossible."""
    with np.errstate(over="ignore"):  # next to 0 the temperature leaves nothing but the largest
        t = (a - a.max()) * F32(min(LOG2E / temperature, float(np.finfo(F32).max)))
    return np.where(t < -126, F32(0), exp2(t))


def candidates(p: Floats, sampler: Sampler) -> NDArray[np.intp]:
    """Token ids that survive top_k, top_p and min_p, likeliest first."""
    order = np.argsort(-p, kind="stable")[: sampler.top_k or None]
    running = np.cumsum(p[order].astype(np.float64))
    if sampler.top_p < 1:
        order = order[: int(np.argmax(running >= sampler.top_p * running[-1])) + 1]
    return order[p[order] >= F32(sampler.min_p)]


def _sample_all(p: Floats, u: float) -> int:
    runs = np.pad(p, (0, -len(p) % 16)).reshape(-1, 16)
    running = np.cumsum(tree(runs).astype(np.float64))
    run = int(np.argmax(running > u * running[-1]))
    within = np.cumsum(np.concatenate([running[run - 1 : run], runs[run].astype(np.float64)]))[-16:]
    over = within > u * running[-1]
    # The tree's float32 sum may lie above the double sum of the same 16: then the last possible id is taken.
    return run * 16 + int(np.argmax(over) if over.any() else np.flatnonzero(runs[run])[-1])
