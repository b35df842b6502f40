"""Which of the models that have a name fit this machine: memory for a context, disk, what the engine runs.

The memory is what `memory_need` counts before a model is opened; of a model that is not here its shape and
the size of its file are enough for that.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pennyweight.kv_format import kv_problem
from pennyweight.memory_need import kv_bytes, memory_need
from pennyweight.models.architectures import ARCHITECTURES
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CATALOG
from pennyweight.models.local import installed_paths
from pennyweight.models.recommended import CATALOG_SHAPES, RECOMMENDED
from pennyweight.system_memory import available_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pennyweight.kv_format import KvFormat
    from pennyweight.models.decoder_shape import DecoderShape

DEFAULT_CONTEXT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that could be had. `architecture` empty: known to run."""

    name: str
    shape: DecoderShape
    download_bytes: int
    weight_bytes: int
    licence: str
    architecture: str
    tried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is for a model: memory for the whole process, disk, threads."""

    memory_bytes: int
    resident_bytes: int
    disk_bytes: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a model suits the machine. `memory_bytes` is for one context; `problem` empty: it fits."""

    name: str
    parameters: int
    download_bytes: int
    memory_bytes: int
    context: int  # that the memory is for
    context_length: int  # that the model was made for
    licence: str
    installed: bool
    tried: bool
    problem: str

    @property
    def fits(self) -> bool:
        return not self.problem

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "fits": self.fits}


def this_machine() -> Machine:
    """The machine now."""
    from pennyweight.native import _native

    folder = models_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    resident = resident_memory()
    return Machine(
        memory_bytes=resident + available_memory(),
        resident_bytes=resident,
        disk_bytes=shutil.disk_usage(existing).free,
        threads=_native.useful_threads(),
    )


def fits(machine: Machine, context: int | None, *, kv_format: KvFormat = "int8") -> list[Fit]:
    """Every model with a name, smallest first. `context` None: DEFAULT_CONTEXT, or what a model has.

    `kv_format` is what keys and values would be kept in.
    """
    installed = set(installed_paths())
    found = [_fit(candidate, machine, context, kv_format, installed) for candidate in _candidates()]
    return sorted(found, key=lambda fit: fit.parameters)


def largest(found: list[Fit]) -> Fit | None:
    """The one with most parameters of those that fit."""
    return max((fit for fit in found if fit.fits), key=lambda fit: fit.parameters, default=None)


def _candidates() -> Iterator[Candidate]:
    for name, shape in CATALOG_SHAPES.items():
        entry = CATALOG[name]
        yield Candidate(
            name=name,
            shape=shape,
            download_bytes=entry.size,
            weight_bytes=entry.size,
            licence=entry.licence.name,
            architecture="",
            tried=True,
        )
    for model in RECOMMENDED.values():
        yield Candidate(
            name=model.name,
            shape=model.shape,
            download_bytes=model.shape.file_bytes(model.type),
            weight_bytes=model.shape.weight_bytes(model.type),
            licence=model.licence.name,
            architecture=model.architecture,
            tried=model.tried,
        )


def _fit(
    candidate: Candidate,
    machine: Machine,
    context: int | None,
    kv_format: KvFormat,
    installed_names: Collection[str],
) -> Fit:
    shape, installed = candidate.shape, candidate.name in installed_names
    plain = shape.outline(candidate.weight_bytes)
    outline = replace(plain, spec=replace(plain.spec, kv_format=kv_format))
    need = memory_need(outline, resident_bytes=machine.resident_bytes, threads=machine.threads)
    counted = min(context or DEFAULT_CONTEXT, shape.context_length)
    memory = need.total_bytes - need.page_bytes + kv_bytes(outline.spec, counted)
    problem = ""
    if candidate.architecture and candidate.architecture not in ARCHITECTURES:
        problem = f"this engine does not run {candidate.architecture}"
    elif context is not None and context > shape.context_length:
        problem = f"made for {shape.context_length:,} tokens"
    elif unkept := kv_problem(kv_format, head_dim=outline.spec.head_dim):
        problem = unkept
    elif memory > machine.memory_bytes:
        problem = f"{(memory - machine.memory_bytes) / 2**30:,.1f} GiB of memory too little"
    elif not installed and candidate.download_bytes > machine.disk_bytes:
        problem = f"the disk has {machine.disk_bytes / 1e9:,.1f} GB free"
    return Fit(
        name=candidate.name,
        parameters=shape.num_parameters,
        download_bytes=candidate.download_bytes,
        memory_bytes=memory,
        context=counted,
        context_length=shape.context_length,
        licence=candidate.licence,
        installed=installed,
        tried=candidate.tried,
        problem=problem,
    )
