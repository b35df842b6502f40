"""The mutable state of one choice of a request, and of the request its choices share.

`tokens` are prompt and output; the KV of the first `num_computed` of them is in the pages. What a sequence
needs next follows from these two lengths alone, never from how it came to them: a preempted sequence with
nothing computed and a new one are the same case, and one whose prefix was found up to its last token decodes.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from pennyweight.core import (
    Event,
    FinishedEvent,
    FinishReason,
    PromptProgress,
    Request,
    Timings,
    TokenEvent,
    TokenLogprob,
    Usage,
)
from pennyweight.engine.block_table import BlockTable
from pennyweight.engine.grammar import MAX_LEAP, Grammar
from pennyweight.engine.prediction import Prediction
from pennyweight.engine.recurrence import Recurrence

if TYPE_CHECKING:
    from pennyweight.core import MaskProvider
    from pennyweight.engine.pages import PagePool
    from pennyweight.engine.prefix_tree import PositionKey
    from pennyweight.engine.prompt import FlatPrompt

Listener = Callable[[Event], None]
Status = Literal["waiting", "running", "finished"]

TOKEN_HANDICAP_S = 1e-3  # a short prompt may overtake a long one that came shortly before it


class SequenceGroup:
    """One request and what its choices share. `number` counts submissions; `seed` is never None here."""

    def __init__(
        self,
        request: Request,
        prompt: FlatPrompt,
        listener: Listener,
        *,
        number: int,
        seed: int,
        submitted_s: float,
        adapter: Any = None,
    ) -> None:
        self.request = request
        self.prompt = prompt
        self.listener = listener
        self.number = number
        self.seed = seed
        self.submitted_s = submitted_s
        self.adapter = adapter  # native, of the request; None: the model itself
        self.cpu_s = 0.0  # processor time spent on all choices so far
        self.sequences: list[Sequence] = []
        self.prompt_logprobs: tuple[float | None, ...] | None = None
        self.prompt_top: tuple[tuple[TokenLogprob, ...], ...] = ()
        self.scorer: Sequence | None = None  # the choice that computes the prompt's log-probabilities for all

    def open(self, pool: PagePool, end_tokens: frozenset[int]) -> None:
        """Make the choices. Called by the engine's thread, as forking a mask provider is."""
        provider = self.request.mask_provider
        for choice in range(self.request.num_choices):
            own = provider if provider is None or choice == 0 else provider.fork()
            self.sequences.append(Sequence(self, choice, BlockTable(pool), own, end_tokens))
        if self.request.prompt_logprobs and len(self.prompt) > 1:
            self.scorer = self.sequences[0]
        elif self.request.prompt_logprobs:
            self.prompt_logprobs = (None,)

    def settle_scores(self, scorer: Sequence) -> None:
        """`scorer` has computed the log-probabilities of the prompt's tokens from the second on."""
        assert self.scorer is scorer
        assert len(scorer.scores) == len(self.prompt) - 1
        keys = self.prompt.keys[1:]
        # A position given as a vector is no token: nothing predicts it.
        self.prompt_logprobs = (
            None,
            *(score if key >= 0 else None for key, score in zip(keys, scorer.scores, strict=True)),
        )
        if scorer.scores_top:
            self.prompt_top = ((), *(_alternatives(top) for top in scorer.scores_top))
        self.scorer = None

    def pass_on_scoring(self) -> None:
        """The scorer has ended early; the next choice still alive takes over."""
        alive = (sequence for sequence in self.sequences if sequence.status != "finished")
        self.scorer = next(alive, None)


class Sequence:
    """One choice: tokens, pages, sampler slot and the moments its timings are made of."""

    def __init__(
        self,
        group: SequenceGroup,
        choice: int,
        blocks: BlockTable,
        mask_provider: MaskProvider | None,
        end_tokens: frozenset[int],
    ) -> None:
        request = self.request = group.request
        sampling = request.sampling
        self.group = group
        self.choice = choice
        self.is_batch = request.priority == "batch"
        self.blocks = blocks
        self.end_tokens = sampling.stop_token_ids | (frozenset() if sampling.ignore_eos else end_tokens)
        self.grammar = (
            None
            if mask_provider is None
            else Grammar(mask_provider, end_tokens=self.end_tokens, leaps=sampling.top_logprobs is None)
        )
        self.prediction = Prediction(self.until_end(request.draft))
        self.recurrence = Recurrence()
        self.tokens = list(group.prompt.tokens)
        self._mixed: list[PositionKey] | None = [*group.prompt.keys] if group.prompt.embeddings else None
        self.num_prompt = len(self.tokens)
        self.num_computed = 0
        self.num_inserted = 0  # positions the prefix tree has been told of
        self.num_cached: int | None = None  # prompt tokens found at the first admission
        self.sampler: int | None = None
        self.untold: list[int] = []  # tokens taken unsampled that the sampler slot has not counted yet
        self.status: Status = "waiting"
        self.finish_reason: FinishReason | None = None
        self.scores: list[float] = []
        self.scores_top: list[list[tuple[int, float]]] = []
        self.end: TokenEvent | None = None
        self.leader: Sequence | None = None  # the running sequence whose pages this one waits for
        self.awaited = 0  # how many positions of the leader's it waits for
        self.promoted = False  # a batch sequence whose turn has come though others are interactive
        self._rank()
        self.num_preemptions = 0
        self.started_s: float | None = None
        self.first_token_s: float | None = None
        self.last_token_s: float | None = None

    @property
    def keys(self) -> Items[PositionKey]:
        """Content of every position. Not a copy: a prompt may be long, and every step asks."""
        return self.tokens if self._mixed is None else self._mixed

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def num_output(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether only the newest tokens are left to compute: one, or with those a grammar forced behind."""
        left = self.num_uncomputed
        return left == 1 or (self.num_computed >= self.num_prompt and left <= 1 + MAX_LEAP)

    @property
    def scores_prompt(self) -> bool:
        """Whether this choice has to compute every prompt position, found in the cache or not."""
        return self.group.scorer is self

    def promote(self) -> None:
        """From now on it is treated as the interactive request it would have been."""
        self.promoted = True
        self._rank()

    def _rank(self) -> None:
        """Asked for all sequences in every step, so it is not computed there.

        `is_junior`: everything interactive goes before it. The last in the order of `seniority` gives its
        pages up first; it changes only by promotion, so the first always gets on. `turn` is the order in
        which prompts are computed: but for promotion fixed at submission, so a later one's lead is bounded.
        """
        group, choice = self.group, self.choice
        self.is_junior = self.is_batch and not self.promoted
        self.seniority = (self.is_junior, group.submitted_s, group.number, choice)
        late_s = group.submitted_s + TOKEN_HANDICAP_S * self.num_prompt
        self.turn = (self.is_junior, late_s, group.number, choice)

    def max_output(self, max_positions: int) -> int:
        """Tokens this choice may generate in all, in a context of `max_positions`."""
        room = max_positions - self.num_prompt
        wanted = self.request.sampling.max_tokens
        return room if wanted is None else min(room, wanted)

    def until_end(self, tokens: Items[int]) -> tuple[int, ...]:
        """`tokens` up to the first that would end this choice."""
        return tuple(takewhile(lambda token: token not in self.end_tokens, tokens))

    def append(self, token: int, now_s: float) -> None:
        """The output goes on with `token`."""
        self.tokens.append(token)
        if self._mixed is not None:
            self._mixed.append(token)
        self.prediction.accept(token)
        self.last_token_s = now_s
        if self.first_token_s is None:
            self.first_token_s = now_s

    def progress_event(self) -> PromptProgress:
        return PromptProgress(self.choice, self.num_computed, self.num_prompt)

    def token_event(self, token: int, logprob: float | None, top: list[tuple[int, float]]) -> TokenEvent:
        return TokenEvent(self.choice, token, logprob, _alternatives(top))

    def prompt_usage(self) -> Usage:
        """Of the prompt, what was computed or found so far."""
        done = self.num_prompt if self.num_output else min(self.num_computed, self.num_prompt)
        return Usage(prompt_tokens=done, cached_tokens=min(self.num_cached or 0, done))

    def timings(self, now_s: float) -> Timings:
        """As they are so far."""
        submitted_s = self.group.submitted_s
        started_s = now_s if self.started_s is None else self.started_s
        if self.first_token_s is None or self.last_token_s is None:
            return Timings(queue_s=started_s - submitted_s)
        return Timings(
            queue_s=started_s - submitted_s,
            ttft_s=self.first_token_s - submitted_s,
            decode_s=self.last_token_s - self.first_token_s,
        )

    def finished_event(self, now_s: float, error: str | None) -> FinishedEvent:
        """The terminal event. Every choice reports the whole prompt; whoever adds choices counts it once."""
        assert self.finish_reason is not None
        timings = self.timings(now_s)
        usage = Usage(
            prompt_tokens=self.num_prompt,
            completion_tokens=self.num_output,
            cached_tokens=self.num_cached or 0,
            accepted_prediction_tokens=self.prediction.num_accepted,
            rejected_prediction_tokens=len(self.request.draft) - self.prediction.num_accepted,
        )
        return FinishedEvent(
            choice=self.choice,
            reason=self.finish_reason,
            usage=usage,
            timings=timings,
            error=error,
            prompt_logprobs=self.group.prompt_logprobs,
            prompt_top=self.group.prompt_top,
            end=self.end,
        )


def _alternatives(top: list[tuple[int, float]]) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(token, value) for token, value in top) if top else ()
