"""Why a training ended early."""

from __future__ import annotations

from pennyweight.errors import PennyweightError


class TuningError(PennyweightError):
    """Training cannot go on. `code`: nan_loss, disk_full, out_of_memory or reward_failed; `step`: where."""

    def __init__(self, message: str, *, code: str, step: int) -> None:
        super().__init__(message)
        self.code = code
        self.step = step


class StoppedError(PennyweightError):
    """Somebody asked to stop; the training goes on from its last checkpoint when started again."""
