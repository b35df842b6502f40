"""A work folder from plan to adapter: every way it can end, each with its event and exit code."""

from __future__ import annotations

import errno
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import InvalidRequestError, PennyweightError
from pennyweight.tune.durable import new_folder, write_file
from pennyweight.tune.example import DatasetError, LineError
from pennyweight.tune.failure import StoppedError, TuningError
from pennyweight.tune.journal import Journal
from pennyweight.tune.metrics_file import METRICS_FILE, metrics_csv
from pennyweight.tune.plan import read_plan
from pennyweight.tune.preparation import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.checkpoint import Progress
    from pennyweight.tune.preparation import Preparation
    from pennyweight.tune.processes import Processes
    from pennyweight.tune.protocol import Events, Stop

FINISHED: Final = 0
FAILED: Final = 1
INVALID: Final = 2
ADAPTER: Final = "adapter"
_FINISHED: Final = "finished.json"


def run(folder: Path, events: Events, stop: Stop, processes: Processes) -> int:
    """Train what the plan in `folder` says, or go on with it. The exit code."""
    try:
        prepared = prepare(read_plan(folder))
        events.tell("validated", **prepared.as_json())
        _train(folder, prepared, events, stop, processes)
    except DatasetError as error:
        told = [one.as_json() for one in error.errors]
        events.tell("invalid", errors=told, num_errors=error.num_errors)
        return INVALID
    except InvalidRequestError as error:
        one = LineError(
            code=error.code or "invalid_value", message=error.message, param=error.param or "model"
        )
        events.tell("invalid", errors=[one.as_json()], num_errors=1)
        return INVALID
    except StoppedError:
        events.tell("stopped", step=_last_step(folder))
        return FINISHED
    except TuningError as error:
        events.tell("failed", code=error.code, message=error.message, step=error.step)
        return FAILED
    except PennyweightError as error:
        events.tell("failed", code=error.code or "invalid_plan", message=error.message, step=0)
        return FAILED
    except (OSError, MemoryError, RuntimeError) as error:
        known = _machine_failure(error)
        if known is None:
            raise
        events.tell("failed", code=known.code, message=known.message, step=_last_step(folder))
        return FAILED
    return FINISHED


def _last_step(folder: Path) -> int:
    """Of the last checkpoint."""
    steps = [int(path.name.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*")]
    return max(steps, default=0)


def _machine_failure(error: Exception) -> TuningError | None:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        message = (
            "the machine has too little memory to train this: give a smaller pack_tokens or context, shorter "
            "examples, or a smaller model."
        )
        return TuningError(message, code="out_of_memory", step=0)
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EFBIG,
    ):
        message = (
            f"what was trained cannot be written ({error.strerror}): make room on the disk and start again; "
            "training goes on from the last checkpoint."
        )
        return TuningError(message, code="disk_full", step=0)
    return None


def _train(folder: Path, prepared: Preparation, events: Events, stop: Stop, processes: Processes) -> None:
    from pennyweight.tune.method import objective_of
    from pennyweight.tune.trainer import Trainer

    finished, journal = folder / _FINISHED, Journal(folder, events, keeps=processes.is_first)
    if finished.exists():
        kept = json.loads(finished.read_bytes())
        if kept["identity"] == prepared.identity:  # told again to whoever missed it
            journal.tell_again(up_to=prepared.numbers.num_steps)
            events.tell("finished", **kept["told"])
            return
    model = _model(prepared)
    with ExitStack() as stack:
        trainer = Trainer(
            prepared,
            model,
            objective_of(folder, prepared, model, stop=stop, processes=processes, stack=stack),
            checkpoints=_checkpoints(folder, prepared),
            write_adapter=lambda place, progress: _write_adapter(place, prepared, model, progress),
            journal=journal,
            processes=processes,
            stop=stop,
        )
        journal.tell_again(up_to=trainer.progress.step)
        progress = trainer.run()
    if not processes.is_first:
        return
    with new_folder(folder / ADAPTER) as place:
        _write_adapter(place, prepared, model, progress)
    write_file(folder / METRICS_FILE, metrics_csv(progress.rows, method=prepared.plan.method))
    told = {
        "folder": ADAPTER,
        "metrics_file": METRICS_FILE,
        "trained_tokens": progress.trained_tokens,
        "seconds": round(progress.seconds, 2),
        "cpu_s": round(progress.cpu_s, 2),
    }
    write_file(finished, json.dumps({"identity": prepared.identity, "told": told}).encode())
    events.tell("finished", **told)


def _model(prepared: Preparation) -> AdaptedModel:
    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.base_model import load_base
    from pennyweight.tune.precision import chosen_dtype, use_threads

    plan = prepared.plan
    use_threads(plan.threads)
    dtype = chosen_dtype(plan.precision)
    base = load_base(plan.model, context=plan.context, weights=plan.weights, dtype=dtype)
    return AdaptedModel(base, rank=plan.lora_rank, alpha=plan.lora_alpha, seed=plan.seed)


def _checkpoints(folder: Path, prepared: Preparation) -> Any:
    from pennyweight.tune.checkpoint import Checkpoints

    return Checkpoints(folder / "checkpoints", identity=prepared.identity)


def _write_adapter(place: Path, prepared: Preparation, model: AdaptedModel, progress: Progress) -> None:
    from pennyweight.tune.card import card
    from pennyweight.tune.export import write_adapter

    text = card(
        prepared,
        base=model.base.name,
        step=progress.step,
        metrics=progress.metrics,
        trained_tokens=progress.trained_tokens,
        seconds=progress.seconds,
        cpu_s=progress.cpu_s,
    )
    write_adapter(model, place, card=text)
