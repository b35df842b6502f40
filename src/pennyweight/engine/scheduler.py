"""Which sequences compute what in the next step. Pure: no tensors, no I/O, and time arrives as an argument.

Every sequence in `running` holds pages for all its tokens. A step takes one token of each sequence that has
only one left to compute, and as many prompt tokens of the others as the step's cost allows. Pages that run
out are taken from the sequence last in seniority; it keeps its output and its sampler slot and computes again
later.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from pennyweight.core import Event, FinishReason, TokenEvent
from pennyweight.engine.batch_share import BatchShare
from pennyweight.engine.drafter import Drafter
from pennyweight.engine.kv_cache import KvCache, shared_prefix
from pennyweight.engine.plan import PlanRow, RowOutput, StepPlan
from pennyweight.engine.prompt_chunks import prompt_rows
from pennyweight.engine.stats import Counters
from pennyweight.engine.step_cost import BATCH_GAP_S, GAP_S, MAX_CHUNK, StepShape
from pennyweight.engine.step_rows import within_step

if TYPE_CHECKING:
    from pennyweight.engine.block_table import PageCopy
    from pennyweight.engine.limits import Limits
    from pennyweight.engine.sequence import Sequence, SequenceGroup
    from pennyweight.engine.step_cost import StepCost

MAX_STEPS = 64  # decode steps of one plan: at most one new page for each row
MIN_AWAITED_TOKENS = 16  # a shorter common prefix is not worth waiting for


class Scheduler:
    """Queues, pages and the state of every sequence. One thread drives it."""

    def __init__(self, limits: Limits, *, end_tokens: frozenset[int], cost: StepCost) -> None:
        self.limits = limits
        self.cache = KvCache(limits.num_pages)
        self.counters = Counters()
        self.waiting: list[Sequence] = []  # by turn
        self.running: list[Sequence] = []
        self._end_tokens = end_tokens
        self._cost = cost
        self._max_positions = limits.max_positions
        self._drafter = Drafter(cost, max_positions=limits.max_positions)
        self._share = BatchShare(limits.batch_share, cost)
        self._events: list[tuple[SequenceGroup, Event]] = []
        self._retired: list[Sequence] = []

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def weight(self) -> float:
        """Of the next plan, beside other engines on the same cores."""
        return self._share.weight(self.running, self.waiting)

    def add(self, group: SequenceGroup) -> None:
        """Queue every choice of a request that has passed `Limits.check`."""
        group.open(self.cache.pool, self._end_tokens)
        for sequence in group.sequences:
            insort(self.waiting, sequence, key=lambda s: s.turn)

    def schedule(self, now_s: float) -> StepPlan:
        """The next plan; without rows only if nothing is left to do."""
        self._expire(now_s)
        self._share.promote(self.running, self.waiting)
        copies: list[PageCopy] = []
        self._admit(now_s, copies)
        decoding = sorted((s for s in self.running if s.is_decoding), key=lambda s: s.seniority)
        decoding = within_step(decoding)
        drafts = self._drafter.drafts(decoding, beside_prompts=bool(self._prefilling()))
        steps = 1 if drafts else self._choose_steps(decoding)
        decoding = [s for s in decoding if self._secure_pages(s, steps)]
        rows = [self._decode_row(s, drafts.get(s, ())) for s in decoding]
        decode_tokens = sum(row.num_tokens + len(row.draft) for row in rows)
        chunks = prompt_rows(
            self._prefilling(),
            self._cost,
            self.limits,
            decode_tokens=decode_tokens,
            gap_s=BATCH_GAP_S if all(s.is_batch for s in self.running) else GAP_S,
        )
        rows += chunks
        self._share.account(rows, self.running, self.waiting, decode_tokens=decode_tokens)
        deadlines = [d for row in rows if (d := row.sequence.request.deadline_s) is not None]
        return StepPlan(
            rows=tuple(rows),
            steps=steps,
            copies=tuple(copies),
            deadline_s=min(deadlines, default=None),
            shape=StepShape(
                decode_tokens, sum(row.num_tokens for row in chunks), sum(row.attended for row in chunks)
            ),
        )

    def prefers_drafts(self, plan: StepPlan) -> bool:
        """Whether `plan`, of many steps, should end early because guessing ahead has become worth it."""
        return plan.steps > 1 and self._drafter.would_draft(row.sequence for row in plan.rows)

    def advance(self, row: PlanRow, output: RowOutput, now_s: float) -> None:
        """One step of `row` has finished. Pages change hands only in `complete`, when the whole plan has."""
        sequence = row.sequence
        if sequence.status == "finished":
            return
        if row.is_prompt or sequence.num_computed < sequence.num_prompt:
            self.counters.prompt_tokens += row.num_tokens
        sequence.num_computed += row.num_tokens + output.accepted_drafts
        self.counters.accepted_drafts += output.accepted_drafts
        self.counters.rejected_drafts += len(row.draft) - output.accepted_drafts
        if sequence.num_computed < sequence.num_prompt and sequence.num_output == 0:
            self._events.append((sequence.group, sequence.progress_event()))
        if row.scores:
            self._keep_scores(sequence, output)
        max_output = sequence.max_output(self._max_positions)
        for index, token in enumerate(output.tokens):
            logprob = output.logprobs[index] if output.logprobs else None
            event = sequence.token_event(token, logprob, output.top[index] if output.top else [])
            if self._ends_with(sequence, event, now_s):
                return
        for token in () if sequence.grammar is None else sequence.grammar.take_forced():
            sequence.untold.append(token)
            if self._ends_with(sequence, sequence.token_event(token, None, []), now_s):
                return
        if max_output == 0 and sequence.num_uncomputed == 0:
            self._end(sequence, FinishReason.LENGTH, now_s)

    def _ends_with(self, sequence: Sequence, event: TokenEvent, now_s: float) -> bool:
        """The output goes on with the token of `event`; whether that ends it."""
        sequence.append(event.token, now_s)
        self.counters.generated_tokens += 1
        if event.token in sequence.end_tokens:
            sequence.end = event
            self._end(sequence, FinishReason.STOP, now_s)
            return True
        self._events.append((sequence.group, event))
        if sequence.num_output == sequence.max_output(self._max_positions):
            self._end(sequence, FinishReason.LENGTH, now_s)
            return True
        return False

    def complete(self, plan: StepPlan) -> None:
        """The plan is over: give back the pages of what has ended, offer the others' to later requests."""
        for row in plan.rows:
            if row.sequence.status == "finished":
                self._remove(row.sequence, keep=True)
            else:
                self.cache.record(row.sequence)

    def cancel(self, sequence: Sequence, now_s: float) -> None:
        """End `sequence` between plans; nothing happens if it has ended."""
        if sequence.status != "finished":
            self._end(sequence, FinishReason.CANCELLED, now_s)
            self._remove(sequence, keep=True)

    def cancel_all(self, now_s: float) -> None:
        """End everything, between plans."""
        for sequence in [*self.running, *self.waiting]:
            self.cancel(sequence, now_s)

    def fail(self, sequence: Sequence, message: str, now_s: float) -> None:
        """End `sequence` with an error. What its last plan wrote is not trusted."""
        if sequence.status != "finished":
            self._end(sequence, FinishReason.ERROR, now_s, message)
        self._remove(sequence, keep=False)

    def take_events(self) -> list[tuple[SequenceGroup, Event]]:
        """Events in order, each handed out once."""
        events, self._events = self._events, []
        return events

    def take_retired(self) -> list[Sequence]:
        """Ended sequences whose sampler slots are to be closed, each handed out once."""
        retired, self._retired = self._retired, []
        return retired

    def check_integrity(self) -> None:
        """Raise AssertionError unless queues, lengths and pages agree. For tests, between plans."""
        assert all(s.status == "waiting" for s in self.waiting)
        assert all(s.status == "running" and s.num_uncomputed > 0 for s in self.running)
        turns = [s.turn for s in self.waiting]
        assert turns == sorted(turns)
        assert len(set(turns)) == len(turns)
        self.cache.check_integrity([*self.waiting, *self.running])

    def _expire(self, now_s: float) -> None:
        for sequence in [*self.running, *self.waiting]:
            deadline_s = sequence.request.deadline_s
            if deadline_s is not None and deadline_s <= now_s:
                self.cancel(sequence, now_s)

    def _admit(self, now_s: float, copies: list[PageCopy]) -> None:
        """Start waiting sequences in turn; one without pages holds up those behind it, or it would starve.

        Nor does one start before a step can reach its prompt: until then it would only hold pages.
        """
        prefilling = self._prefilling()
        for sequence in list(self.waiting):
            if sum(s.num_uncomputed for s in prefilling if s.turn < sequence.turn) >= MAX_CHUNK:
                return
            if sequence.status != "waiting" or self._awaits_pages_of_another(sequence, prefilling):
                continue
            while not self._start(sequence, copies):
                if not self._yield_to(sequence):
                    return
                prefilling = self._prefilling()
            if sequence.started_s is None:
                sequence.started_s = now_s
                sequence.num_cached = sequence.num_computed
                self.counters.cached_tokens += sequence.num_computed
            self.waiting.remove(sequence)
            self.running.append(sequence)
            sequence.status = "running"
            if not sequence.is_decoding:
                prefilling.append(sequence)

    def _prefilling(self) -> list[Sequence]:
        return [s for s in self.running if not s.is_decoding]

    def _start(self, sequence: Sequence, copies: list[PageCopy]) -> bool:
        # A page of headroom for each running sequence: its next token may need one.
        has_slot = len(self.running) < self.limits.max_running
        return has_slot and self.cache.start(sequence, copies, headroom=len(self.running))

    def _yield_to(self, sequence: Sequence) -> bool:
        """Preempt a running batch sequence for an interactive one that would otherwise wait."""
        if sequence.is_batch or not self.running:
            return False
        victim = max(self.running, key=lambda s: s.seniority)
        if not victim.is_junior:
            return False
        self._preempt(victim)
        return True

    def _awaits_pages_of_another(self, sequence: Sequence, prefilling: list[Sequence]) -> bool:
        """Whether one of those at their prompts is about to compute a prefix of this one's."""
        if sequence.group.scorer is not None:
            return not sequence.scores_prompt
        leader = sequence.leader
        if leader is not None:
            if leader.status == "running" and leader.num_computed < sequence.awaited:
                return True
            sequence.leader = None
        if not prefilling:
            return False
        least = self.cache.found(sequence) + MIN_AWAITED_TOKENS
        head = sequence.keys[:least]
        for other in prefilling:
            if other.keys[:least] != head:
                continue  # as most do; many may wait for many
            awaited = min(shared_prefix(sequence, other), sequence.num_tokens - 1)
            if awaited >= least and awaited > other.num_computed:
                sequence.leader, sequence.awaited = other, awaited
                return True
        return False

    def _choose_steps(self, decoding: list[Sequence]) -> int:
        """Many steps only if every running row decodes plainly, nothing waits and the pages are there."""
        plain = all(s.num_uncomputed == 1 and s.grammar is None for s in decoding)
        if self.waiting or not decoding or len(decoding) < len(self.running) or not plain:
            return 1
        left = [s.max_output(self._max_positions) - s.num_output for s in decoding]
        steps = max(1, min(MAX_STEPS, *left))
        while steps > 1:
            missing = sum(s.blocks.missing(s.num_computed + steps) for s in decoding)
            if missing <= self.cache.pool.num_available:
                break
            steps //= 2
        return steps

    def _secure_pages(self, sequence: Sequence, steps: int) -> bool:
        """Pages for the next tokens, at the cost of the most junior if need be; False if that is this one."""
        while sequence.status == "running":
            if self.cache.grow(sequence, sequence.num_tokens - 1 + steps):
                return True
            if not self._take_back_reserves():
                self._preempt(max(self.running, key=lambda s: s.seniority))
        return False

    def _take_back_reserves(self) -> bool:
        """Pages reserved for steps that an interrupt cut off go first: they cost nobody anything."""
        return any(s.blocks.truncate(s.num_tokens) for s in self.running)

    def _preempt(self, sequence: Sequence) -> None:
        self.cache.release(sequence, keep=True)
        sequence.scores.clear()
        sequence.scores_top.clear()
        sequence.num_preemptions += 1
        self.counters.preemptions += 1
        self.running.remove(sequence)
        sequence.status = "waiting"
        insort(self.waiting, sequence, key=lambda s: s.turn)

    def _decode_row(self, sequence: Sequence, draft: tuple[int, ...]) -> PlanRow:
        if draft and not self.cache.grow(sequence, sequence.num_tokens + len(draft)):
            draft = ()
        return PlanRow(
            sequence=sequence,
            num_tokens=sequence.num_uncomputed,
            samples=sequence.max_output(self._max_positions) > 0,
            draft=draft,
            adapter=sequence.group.adapter,
        )

    def _keep_scores(self, sequence: Sequence, output: RowOutput) -> None:
        sequence.scores.extend(output.target_logprobs)
        sequence.scores_top.extend(output.target_top)
        if len(sequence.scores) == sequence.num_prompt - 1:
            sequence.group.settle_scores(sequence)

    def _end(self, sequence: Sequence, reason: FinishReason, now_s: float, error: str | None = None) -> None:
        """Post the one terminal event. Pages and queues are `_remove`'s, once the plan under way is over."""
        sequence.finish_reason = reason
        sequence.status = "finished"
        if sequence.scores_prompt:
            sequence.group.pass_on_scoring()
        self._events.append((sequence.group, sequence.finished_event(now_s, error)))

    def _remove(self, sequence: Sequence, *, keep: bool) -> None:
        """Take an ended sequence out of its queue and everything it holds back; once."""
        queue = next((q for q in (self.running, self.waiting) if sequence in q), None)
        if queue is None:
            return
        queue.remove(sequence)
        self.cache.finish(sequence, keep=keep)
        self._retired.append(sequence)
