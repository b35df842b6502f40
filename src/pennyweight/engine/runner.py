"""The only caller of the native step: turns a plan into rows, masks and sampler slots, and results back.

The decoder and the module it comes from are passed in, so the engine runs on anything that keeps the contract
of `native/_native.pyi`; the tests' toy decoder does.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pennyweight.engine.plan import PlanRow, RowOutput, StepPlan
    from pennyweight.engine.sequence import Sequence as ChoiceSequence

log = logging.getLogger(__name__)

DRAIN_S = 0.01  # results of a plan of many steps reach their listeners no later than this


class StepDecoder(Protocol):
    """The part of the native `Decoder` that the engine uses. Pages hold `core.PAGE_TOKENS` positions."""

    @property
    def num_pages(self) -> int: ...
    @property
    def page_bytes(self) -> int: ...
    @property
    def cpu_s(self) -> float: ...

    def open_sampler(
        self,
        *,
        seed: int,
        choice: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Sequence[tuple[int, float]] = (),
        end_tokens: Sequence[int] = (),
        min_tokens: int = 0,
        top_logprobs: int | None = None,
        prompt: Sequence[int] = (),
    ) -> int: ...
    def close_sampler(self, slot: int) -> None: ...
    def begin(self, rows: Sequence[Any], *, steps: int = 1) -> None: ...
    def finish(
        self, masks: Sequence[tuple[int, Any]] = (), *, timeout_s: float = 0.01
    ) -> tuple[Sequence[Sequence[RowOutput]], bool]: ...
    def interrupt(self) -> None: ...
    def copy_page(self, source: int, destination: int) -> None: ...
    def commit_page(self, page: int) -> None: ...
    def read_page(self, page: int) -> bytes: ...
    def write_page(self, page: int, data: Any) -> None: ...


class LogitsKinds(Protocol):
    """The members of the native `Logits` enumeration."""

    @property
    def NONE(self) -> Any: ...
    @property
    def LAST(self) -> Any: ...
    @property
    def ALL(self) -> Any: ...


class StepModule(Protocol):
    """Where the decoder's argument types live: `pennyweight.native._native`, or a stand-in for it."""

    @property
    def Row(self) -> Callable[..., Any]: ...
    @property
    def Logits(self) -> LogitsKinds: ...


class Runner:
    """Drives one decoder; used by the engine's thread only, `interrupt` excepted."""

    def __init__(self, decoder: StepDecoder, module: StepModule, *, vocab_size: int) -> None:
        self._decoder = decoder
        self._module = module
        self._free_mask = b"\xff" * (4 * ((vocab_size + 31) // 32))
        self._rows: tuple[PlanRow, ...] = ()
        self._running = False
        self._masks_due = False
        self._failures: dict[int, str] = {}

    @property
    def cpu_s(self) -> float:
        """Processor time of the decoder's threads so far, in seconds."""
        return self._decoder.cpu_s

    def begin(self, plan: StepPlan) -> None:
        """Copy pages, open missing sampler slots and start the plan; returns while it runs."""
        for copy in plan.copies:
            self._decoder.copy_page(copy.source, copy.destination)
        for row in plan.rows:
            if row.samples and row.sequence.sampler is None:
                row.sequence.sampler = self._open_sampler(row.sequence)
        self._rows, self._masks_due, self._failures = plan.rows, True, {}
        self._decoder.begin([self._native_row(row) for row in plan.rows], steps=plan.steps)
        for row in plan.rows:
            if row.samples:
                row.sequence.untold.clear()
        self._running = True

    def read_page(self, page: int) -> bytes:
        """A copy of what a page holds, between two plans."""
        return self._decoder.read_page(page)

    def write_page(self, page: int, data: bytes | memoryview) -> None:
        """Let a page hold what `read_page` once gave, between two plans."""
        self._decoder.write_page(page, data)

    def finish(self) -> tuple[Sequence[Sequence[RowOutput]], bool]:
        """Steps finished since the last call, and whether the plan is done. Masks are made while it runs."""
        masks = self._masks() if self._masks_due else []
        steps, done = self._finish(masks)
        for step in steps:
            for output in step:
                if output.error:
                    self._failures[output.row] = f"The decoder failed: {output.error}"
                self._advance_mask(output)
        return steps, done

    def abandon(self) -> None:
        """End a plan that an error cut off; its results are lost. Nothing happens when none runs."""
        if not self._running:
            return
        self._decoder.interrupt()
        masked = [index for index, row in enumerate(self._rows) if row.masked and self._masks_due]
        _, done = self._finish([(index, self._free_mask) for index in masked])
        while not done:
            _, done = self._finish([])

    def interrupt(self) -> None:
        """End the plan after the step under way. Safe from any thread."""
        self._decoder.interrupt()

    def take_failures(self) -> dict[int, str]:
        """Rows that failed, in the decoder or their grammar, with the reason: their results mean nothing."""
        failures, self._failures = self._failures, {}
        return failures

    def retire(self, sequence: ChoiceSequence) -> None:
        """Close the sampler slot of an ended sequence."""
        if sequence.sampler is not None:
            self._decoder.close_sampler(sequence.sampler)
            sequence.sampler = None

    def _finish(self, masks: Sequence[tuple[int, bytes]]) -> tuple[Sequence[Sequence[RowOutput]], bool]:
        steps, done = self._decoder.finish(masks, timeout_s=DRAIN_S)
        self._masks_due, self._running = False, not done
        return steps, done

    def _open_sampler(self, sequence: ChoiceSequence) -> int:
        sampling = sequence.request.sampling
        return self._decoder.open_sampler(
            seed=sequence.group.seed,
            choice=sequence.choice,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            logit_bias=sorted(sampling.logit_bias.items()),
            end_tokens=sorted(sequence.end_tokens),
            min_tokens=sampling.min_tokens,
            top_logprobs=sampling.top_logprobs,
            prompt=sequence.group.prompt.text_tokens,
        )

    def _native_row(self, row: PlanRow) -> Any:
        sequence = row.sequence
        start, stop = sequence.num_computed, sequence.num_computed + row.num_tokens
        logits = self._module.Logits
        kind = logits.ALL if row.scores else logits.LAST if row.samples else logits.NONE
        return self._module.Row(
            tokens=[*sequence.tokens[start:stop], *row.draft],
            position=start,
            pages=sequence.blocks.pages,
            sampler=sequence.sampler if row.samples else None,
            logits=kind,
            draft_length=len(row.draft),
            targets=sequence.tokens[start + 1 : stop + 1] if row.scores else (),
            target_top=(sequence.request.sampling.top_logprobs or 0) if row.scores else 0,
            embeddings=sequence.group.prompt.vectors(start, stop),
            masked=row.masked,
            adapter=row.adapter,
            taken=tuple(sequence.untold) if row.samples else (),
        )

    def _masks(self) -> list[tuple[int, bytes]]:
        masks: list[tuple[int, bytes]] = []
        for index, row in enumerate(self._rows):
            grammar = row.sequence.grammar
            if not row.masked or grammar is None:
                continue
            try:
                masks.append((index, grammar.masks(row.draft, len(self._free_mask))))
            except (
                Exception
            ) as error:  # foreign code: only its own sequence fails, and the step waits for a mask
                log.exception("The grammar of request %s gave no mask", row.sequence.request.id)
                self._failures[index] = f"The grammar gave no mask: {error}"
                masks.append((index, self._free_mask))
        return masks

    def _advance_mask(self, output: RowOutput) -> None:
        row = self._rows[output.row]
        grammar = row.sequence.grammar
        if grammar is None or not output.tokens or output.row in self._failures:
            return
        try:
            grammar.accept(output.tokens)
        except Exception as error:  # foreign code, as above
            log.exception("The grammar of request %s did not take its token", row.sequence.request.id)
            self._failures[output.row] = f"The grammar cannot go on: {error}"
