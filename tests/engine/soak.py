"""The soak: hundreds of random requests in a pool too small for them, against each one's solo run.

It knows the decoder only through a factory, so the toy decoder and the native one run the same soak.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from pennyweight.core import CacheNamespace, FinishReason, Request, SamplingParams, TokenSpan
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import Handle, StepLoop
from tests.engine.grammars import Verses
from tests.engine.listening import Listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.core import Event
    from pennyweight.engine.runner import StepDecoder, StepModule


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What to run. `make_decoder` gets a number of pages; lengths are in tokens."""

    make_decoder: Callable[[int], StepDecoder]
    module: StepModule
    vocab_size: int
    end_tokens: frozenset[int]
    num_requests: int = 300
    num_pages: int = 8
    longest_prompt: int = 60
    longest_output: int = 250
    in_flight: int = 24
    seed: int = 1


class Case:
    """One request, when it is cancelled, and what came of it."""

    def __init__(self, request: Request, *, cancel_after: int | None) -> None:
        self.request = request
        self.cancel_after = cancel_after
        self.heard = Listening(request.num_choices)
        self.handle: Handle | None = None

    def listen(self, event: Event) -> None:
        self.heard(event)
        if self.cancel_after is not None and self.heard.num_tokens >= self.cancel_after and self.handle:
            self.handle.cancel()

    @property
    def was_preempted(self) -> bool:
        assert self.handle is not None
        return any(sequence.num_preemptions for sequence in self.handle._group.sequences)


def run_soak(soak: Soak) -> None:
    """Raise AssertionError unless nothing leaks, enough is preempted and all texts are as if alone."""
    random = Random(soak.seed)
    cases = _cases(soak, random)
    loop = _open(soak, soak.num_pages)
    try:
        for index, case in enumerate(cases):
            case.handle = loop.submit(case.request, case.listen)
            if index >= soak.in_flight:
                cases[random.randrange(index - soak.in_flight, index)].heard.wait()
        for case in cases:
            case.heard.wait()
    finally:
        loop.close()
    scheduler = loop._scheduler
    scheduler.check_integrity()
    assert scheduler.cache.pool.num_available == soak.num_pages, "pages leaked"
    preempted = sum(case.was_preempted for case in cases)
    assert preempted >= soak.num_requests / 10, (
        f"only {preempted} requests were preempted: the pool is too large"
    )
    assert any(case.heard.finished[0].usage.cached_tokens for case in cases)
    _check_texts(soak, cases)


def _check_texts(soak: Soak, cases: list[Case]) -> None:
    """Alone, in a pool of its own and a namespace nobody else has used, each request says the same."""
    loop = _open(soak, 4 * (soak.longest_prompt + soak.longest_output) // 64 + 4)
    survivors = 0
    try:
        for index, case in enumerate(cases):
            alone = Listening(case.request.num_choices)
            namespace = replace(case.request.namespace, project=f"alone-{index}")
            alike = replace(case.request, namespace=namespace, mask_provider=_untold(case.request))
            loop.submit(alike, alone)
            alone.wait()
            for choice, finished in case.heard.finished.items():
                text, solo = case.heard.tokens[choice], alone.tokens[choice]
                assert finished.reason is not FinishReason.ERROR, finished.error
                if finished.reason is FinishReason.CANCELLED:
                    assert text == solo[: len(text)], f"request {index} differs before its cancel"
                    continue
                survivors += 1
                assert text == solo, f"request {index}, choice {choice} differs from its solo run"
                assert finished.reason is alone.finished[choice].reason
                assert finished.usage.completion_tokens == alone.finished[choice].usage.completion_tokens
    finally:
        loop.close()
    assert survivors >= soak.num_requests / 2


def _untold(request: Request) -> Verses | None:
    """The grammar of `request` as it was at first, but silent about what it forces: no leaps."""
    grammar = request.mask_provider
    if isinstance(grammar, Verses):
        return Verses(grammar.run, tells=False, mask_bytes=grammar.mask_bytes)
    return None


def _open(soak: Soak, num_pages: int) -> StepLoop:
    limits = Limits(vocab_size=soak.vocab_size, context_length=4096, num_pages=num_pages)
    return StepLoop(soak.make_decoder(num_pages), soak.module, limits=limits, end_tokens=soak.end_tokens)


def _cases(soak: Soak, random: Random) -> list[Case]:
    shared = [_text(soak, random, random.randint(10, soak.longest_prompt * 2 // 3)) for _ in range(6)]
    namespaces = [CacheNamespace(model="soak", project=project) for project in ("one", "two")]
    cases: list[Case] = []
    for index in range(soak.num_requests):
        start = random.choice(shared) if random.random() < 0.6 else ()
        prompt = (*start, *_text(soak, random, random.randint(1, soak.longest_prompt - len(start))))
        fields: dict[str, Any] = {"priority": random.choice(["interactive", "interactive", "batch"])}
        if random.random() < 0.15:
            fields["draft"] = _text(soak, random, 30)
        if random.random() < 0.2:
            mask_bytes = (soak.vocab_size + 31) // 32 * 4
            fields["mask_provider"] = Verses(random.choice([1, 5, 60]), mask_bytes=mask_bytes)
        request = Request(
            id=f"soak-{index}",
            prompt=(TokenSpan(prompt),),
            sampling=_sampling(soak, random),
            namespace=random.choice(namespaces),
            num_choices=random.choice([1, 1, 1, 2, 3]),
            **fields,
        )
        cancel_after = random.randint(1, soak.longest_output // 2) if random.random() < 0.2 else None
        cases.append(Case(request, cancel_after=cancel_after))
    return cases


def _sampling(soak: Soak, random: Random) -> SamplingParams:
    long = random.random() < 0.75
    shortest = soak.longest_output // 3 if long else 1
    longest = soak.longest_output if long else soak.longest_output // 10
    return SamplingParams(
        temperature=random.choice([0.0, 0.8]),
        frequency_penalty=random.choice([0.0, 0.3]),
        seed=random.getrandbits(40),
        max_tokens=random.randint(shortest, longest),
        ignore_eos=random.random() < 0.7,
        min_tokens=random.choice([0, 5]),
    )


def _text(soak: Soak, random: Random, length: int) -> tuple[int, ...]:
    return tuple(random.randrange(soak.vocab_size) for _ in range(length))
