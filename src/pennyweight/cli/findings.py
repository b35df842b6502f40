"""What `penny doctor` looks at: one function per subject returns what it found and perhaps a remedy."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.errors import PennyweightError

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_MEMORY = 512 * 2**20
_LEAST_DISK = 2**30
# Slow, but right: everything else is a vector instruction set.
_SLOW_TARGETS = frozenset({"scalar"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`remedy` None: all is well. `wrong`: the program does not work as it is."""

    subject: str
    value: str
    remedy: str | None = None
    wrong: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """All findings, in the order they are shown."""
    checks: tuple[Callable[[], Finding], ...] = (
        _version,
        _processor,
        _instruction_set,
        _threads,
        _memory,
        _settings,
        _cache,
        _default_model,
        _need,
        _larger,
    )
    return [check() for check in checks]


def _version() -> Finding:
    from pennyweight import __version__

    return Finding(subject="pennyweight", value=f"{__version__}, Python {platform.python_version()}")


def _processor() -> Finding:
    try:
        from pennyweight.native import _native
    except ImportError as error:
        return Finding(
            subject="processor",
            value=f"{platform.machine()}; the native part does not load: {error}",
            remedy="install again: `pip install --force-reinstall pennyweight` (from source, with g++)",
            wrong=True,
        )
    features = [name for name, present in _native.cpu_features().items() if present]
    return Finding(subject="processor", value=f"{platform.machine()}: {' '.join(features)}")


def _instruction_set() -> Finding:
    from pennyweight.api import active_target

    try:
        active = active_target()
    except ImportError:
        return Finding(subject="instruction set", value="unknown")
    except PennyweightError as error:
        unset = "set PENNYWEIGHT_ISA to one of these, or unset it"
        return Finding(subject="instruction set", value=error.message, remedy=unset, wrong=True)
    from pennyweight.native import _native

    forced = " (forced by PENNYWEIGHT_ISA)" if os.environ.get("PENNYWEIGHT_ISA") else ""
    remedy = None
    if active in _SLOW_TARGETS:
        remedy = "no vector instruction set is in use: answers are right but slow; see PENNYWEIGHT_ISA"
    value = f"{active}{forced}; this machine can run {', '.join(_native.targets())}"
    return Finding(subject="instruction set", value=value, remedy=remedy)


def _threads() -> Finding:
    from pennyweight.native import _native

    allowed = len(os.sched_getaffinity(0))
    value = f"{_native.useful_threads()}; {allowed} processors allowed of {os.cpu_count()}"
    return Finding(subject="threads", value=value)


def _memory() -> Finding:
    from pennyweight.system_memory import available_memory

    available = available_memory()
    short = available < _LEAST_MEMORY
    return Finding(
        subject="memory",
        value=f"{available / 2**20:,.0f} MiB available",
        remedy="close other programs, or serve with a smaller --context" if short else None,
    )


def _settings() -> Finding:
    from pennyweight.config import Settings, config_path

    path = config_path(os.environ)
    try:
        Settings.load({})
    except PennyweightError as error:
        remedy = "correct or remove it"
        return Finding(subject="settings", value=error.message, remedy=remedy, wrong=True)
    return Finding(subject="settings", value=f"{path}{'' if path.exists() else ' (not there: defaults)'}")


def _cache() -> Finding:
    from pennyweight.models.cache import models_folder

    folder = models_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        remedy = f"move {existing} away, or point XDG_CACHE_HOME at a folder"
        value = f"{folder} cannot be made: {existing} is not a folder"
        return Finding(subject="cache folder", value=value, remedy=remedy, wrong=True)
    free = shutil.disk_usage(existing).free
    value = f"{folder}, {free / 2**30:,.1f} GiB free"
    if not os.access(existing, os.W_OK):
        remedy = f"make {existing} writable, or point XDG_CACHE_HOME elsewhere"
        return Finding(subject="cache folder", value=f"{value}; not writable", remedy=remedy, wrong=True)
    low = "there is little room for models: remove some with `penny rm`"
    return Finding(subject="cache folder", value=value, remedy=low if free < _LEAST_DISK else None)


def _default_model() -> Finding:
    from pennyweight.models.catalog import CATALOG, DEFAULT_MODEL
    from pennyweight.models.fetch import is_intact
    from pennyweight.models.local import resolve

    try:
        path = resolve(DEFAULT_MODEL)
    except PennyweightError:
        remedy = f"`penny run` fetches it when it is first needed; `penny pull {DEFAULT_MODEL}` does so now"
        return Finding(subject="default model", value=f"{DEFAULT_MODEL} is not installed", remedy=remedy)
    if not is_intact(path, CATALOG[DEFAULT_MODEL]):
        remedy = f"fetch it again: `penny rm {DEFAULT_MODEL}`, then `penny pull {DEFAULT_MODEL}`"
        return Finding(subject="default model", value=f"{path} is damaged", remedy=remedy, wrong=True)
    return Finding(subject="default model", value=str(path))


def _need() -> Finding:
    from pennyweight.memory_need import kv_bytes, memory_need
    from pennyweight.models.catalog import DEFAULT_MODEL
    from pennyweight.models.local import resolve
    from pennyweight.models.outline import outline
    from pennyweight.native import _native
    from pennyweight.system_memory import resident_memory

    subject = "its memory"
    try:
        model = outline(resolve(DEFAULT_MODEL))
    except PennyweightError:
        return Finding(subject=subject, value="known when the model is there")
    need = memory_need(model, resident_bytes=resident_memory(), threads=_native.useful_threads())
    whole = kv_bytes(model.spec, model.spec.context_length)
    value = (
        f"from {need.total_bytes / 2**20:,.0f} MiB (weights {need.weight_bytes / 2**20:,.0f}, to compute in "
        f"{need.buffer_bytes / 2**20:,.0f}, program {need.program_bytes / 2**20:,.0f}); a context of "
        f"{model.spec.context_length:,} tokens takes {whole / 2**20:,.0f}"
    )
    return Finding(subject=subject, value=value)


def _larger() -> Finding:
    from pennyweight.cli.fit import DEFAULT_CONTEXT, fits, largest, this_machine

    best = largest(fits(this_machine(), None))
    value = "none fits" if best is None else f"up to {best.name} ({best.parameters / 1e9:,.1f} billion)"
    return Finding(
        subject="models that fit",
        value=f"{value} with {DEFAULT_CONTEXT:,} tokens of context; `penny models --fit` lists them",
    )
