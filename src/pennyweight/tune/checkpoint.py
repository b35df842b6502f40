"""Where training stands, on disk: what a killed trainer goes on from as if nothing had happened.

A checkpoint is a PEFT folder with a folder `state` in it, and exists as a whole or not at all. Only the last
keeps its state, and beside it only those at ends of epochs are kept.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors.torch import load_file, save

from pennyweight.errors import ConfigError
from pennyweight.tune.durable import new_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STATE: Final = "state"
_PROGRESS: Final = "progress.json"
_OPTIMISER: Final = "optimiser.safetensors"
_MOMENTS: Final = ("exp_avg", "exp_avg_sq")


@dataclass(slots=True, kw_only=True)
class Progress:
    """What has been done. `rows` are those of the metrics file, `metrics` the last known of each name."""

    step: int = 0
    trained_tokens: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of a work folder for the training that `identity` names."""

    def __init__(self, folder: Path, *, identity: str) -> None:
        self._folder = folder
        self._identity = identity

    def write(
        self,
        progress: Progress,
        *,
        parameters: dict[str, Any],
        optimiser: Any,
        write_adapter: Callable[[Path], None],
        epoch_end: bool,
    ) -> Path:
        """The folder of a new checkpoint. Raises OSError; the last one is then still there."""
        path = self._folder / f"step-{progress.step:06d}"
        self._folder.mkdir(exist_ok=True)
        with new_folder(path) as new:
            write_adapter(new)
            state = new / _STATE
            state.mkdir()
            (state / _OPTIMISER).write_bytes(save(_flat(parameters, optimiser)))
            told = {"identity": self._identity, "epoch_end": epoch_end, "progress": asdict(progress)}
            (state / _PROGRESS).write_text(json.dumps(told), encoding="utf-8")
        self._thin_out(keep=path)
        return path

    def resume(self, parameters: dict[str, Any], optimiser: Any) -> Progress:
        """Put the last whole checkpoint back into `parameters` and `optimiser`; none: the beginning.

        ConfigError if it belongs to another training.
        """
        for path in sorted(self._folder.glob("step-*"), reverse=True):
            told_path = path / _STATE / _PROGRESS
            if not told_path.is_file():
                continue
            told = json.loads(told_path.read_bytes())
            if told["identity"] != self._identity:
                raise ConfigError(
                    f"{self._folder} holds checkpoints of another plan, file or model; give a new work folder"
                )
            _restore(load_file(path / _STATE / _OPTIMISER), parameters, optimiser)
            return Progress(**told["progress"])
        return Progress()

    def _thin_out(self, *, keep: Path) -> None:
        for path in self._folder.glob("step-*"):
            told_path = path / _STATE / _PROGRESS
            if path == keep or not told_path.is_file():
                continue
            epoch_end = json.loads(told_path.read_bytes())["epoch_end"]
            told_path.unlink()  # first: what is half removed is no checkpoint
            shutil.rmtree(path / _STATE if epoch_end else path)


def _flat(parameters: dict[str, Any], optimiser: Any) -> dict[str, Any]:
    flat = {f"value.{name}": value.detach().contiguous() for name, value in parameters.items()}
    for name, value in parameters.items():
        for moment in _MOMENTS:
            flat[f"{moment}.{name}"] = optimiser.state[value][moment].contiguous()
        flat[f"step.{name}"] = optimiser.state[value]["step"]
    return flat


def _restore(flat: dict[str, Any], parameters: dict[str, Any], optimiser: Any) -> None:
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(flat[f"value.{name}"])
            moments = {moment: flat[f"{moment}.{name}"].to(value.dtype) for moment in _MOMENTS}
            optimiser.state[value] = {"step": flat[f"step.{name}"], **moments}
