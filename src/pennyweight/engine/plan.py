"""What one call of the decoder is to do: data from the scheduler to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pennyweight.engine.block_table import PageCopy
    from pennyweight.engine.sequence import Sequence
    from pennyweight.engine.step_cost import StepShape


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """The next `num_tokens` uncomputed tokens of `sequence`, and drafts behind them.

    A row that reaches the end of the known tokens samples; any other only fills pages. More than one token
    of the output is what a grammar forced.
    """

    sequence: Sequence
    num_tokens: int
    samples: bool
    scores: bool = False  # log-probabilities of the prompt's tokens are wanted
    draft: tuple[int, ...] = ()
    is_prompt: bool = False  # a chunk of what came before the output, or of what is computed again
    adapter: Any = None  # native, from the `AdapterPool`

    @property
    def attended(self) -> int:
        """Positions that the tokens see, summed; as long as the step has not been taken in."""
        start = self.sequence.num_computed
        return self.num_tokens * start + self.num_tokens * self.num_tokens // 2

    @property
    def masked(self) -> bool:
        return self.samples and self.sequence.grammar is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Rows of at most `steps` steps; `copies` come first, in order. `deadline_s` is its rows' earliest."""

    rows: tuple[PlanRow, ...]
    steps: int
    copies: tuple[PageCopy, ...]
    deadline_s: float | None
    shape: StepShape


class RowOutput(Protocol):
    """What the decoder answers for one row of one step: the native `RowResult`, documented there."""

    row: int
    tokens: list[int]
    accepted_drafts: int
    logprobs: list[float]
    top: list[list[tuple[int, float]]]
    target_logprobs: list[float]
    target_top: list[list[tuple[int, float]]]
    error: str
