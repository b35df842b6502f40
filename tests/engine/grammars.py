"""Grammars over the toy's vocabulary whose texts can be said in advance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.core import MaskProvider, SamplingParams
from tests.engine.toy_decoder import END_TOKENS, MASK_BYTES, VOCAB_SIZE, digest_of, next_token

if TYPE_CHECKING:
    from collections.abc import Sequence


class Verses(MaskProvider):
    """Two free tokens, of even number, then `run` tokens that follow from the second; again and again.

    `tells` says whether the forced tokens are named or only masked: the text is the same.
    """

    def __init__(
        self, run: int, *, tells: bool = True, mask_bytes: int = MASK_BYTES, taken: tuple[int, ...] = ()
    ) -> None:
        self.run = run
        self.tells = tells
        self.mask_bytes = mask_bytes
        self.taken = list(taken)

    def fork(self) -> Verses:
        return Verses(self.run, tells=self.tells, mask_bytes=self.mask_bytes, taken=tuple(self.taken))

    def accept(self, token: int) -> None:
        assert self.allowed() is None or [token] == self.allowed()
        self.taken.append(token)

    def forced(self) -> Sequence[int]:
        return self.rest() if self.tells else ()

    def mask(self) -> bytes:
        allowed = self.allowed()
        if allowed is None:
            return b"\x55" * self.mask_bytes
        return (1 << allowed[0]).to_bytes(self.mask_bytes, "little")

    def rest(self) -> list[int]:
        """The forced tokens up to the next free one."""
        at = len(self.taken) % (self.run + 2)
        if at < 2:
            return []
        seed = self.taken[-(at - 1)]
        return [(seed + 3 * k) % 100 + 100 for k in range(at - 2, self.run)]

    def allowed(self) -> list[int] | None:
        return self.rest()[:1] or None


def verses_text(
    prompt: Sequence[int], sampling: SamplingParams, grammar: Verses, choice: int = 0
) -> list[int]:
    """What the toy decoder says to `prompt` under `grammar`, one sampled token at a time."""
    assert sampling.max_tokens is not None
    assert sampling.seed is not None
    grammar = grammar.fork()
    output: list[int] = []
    while len(output) < sampling.max_tokens:
        token = next_token(
            digest_of([*prompt, *output]),
            seed=sampling.seed,
            choice=choice,
            temperature=sampling.temperature,
            history=sum(output) if sampling.frequency_penalty else 0,
            num_sampled=len(output),
        )
        mask = grammar.mask()
        while not mask[token // 8] >> token % 8 & 1:
            token = (token + 1) % VOCAB_SIZE
        if token in END_TOKENS | sampling.stop_token_ids and not sampling.ignore_eos:
            break
        grammar.accept(token)
        output.append(token)
    return output
