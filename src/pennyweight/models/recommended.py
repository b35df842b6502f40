"""Small models worth having, of every family this engine runs: where they are, under what licence, how large.

Shapes are public facts, and what follows from them is computed: the size of the file, the memory a context
needs. Of digests and exact sizes nothing is claimed: those come from the hub with the download, and are
written down then. `tried` says honestly which of these very files were loaded where this project is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.models.catalog import Licence
from pennyweight.models.decoder_shape import DecoderShape, FileType

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendedModel:
    """A model by name, in one GGUF file of a Hugging Face repository."""

    name: str
    repo: str
    file: str
    architecture: str  # as GGUF files name it
    type: FileType
    licence: Licence
    shape: DecoderShape
    summary: str
    tried: bool = False


FREE_LICENCES: Final = frozenset({"Apache-2.0", "MIT"})
"""Those that ask nothing of whoever runs a model."""


def _shape(
    vocab: int,
    width: int,
    *,
    layers: int,
    heads: tuple[int, int, int],
    d_ff: int,
    context: int,
    head: Literal["tied", "copied", "own"] = "tied",
) -> DecoderShape:
    """`heads`: of queries, of keys and values, and their dimensions."""
    return DecoderShape(
        vocab_size=vocab,
        d_model=width,
        num_layers=layers,
        num_heads=heads[0],
        num_kv_heads=heads[1],
        head_dim=heads[2],
        d_ff=d_ff,
        context_length=context,
        head=head,
    )


_APACHE: Final = Licence(name="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0")
_MIT: Final = Licence(name="MIT", url="https://opensource.org/license/mit")
_LLAMA: Final = Licence(name="Llama 3.2 Community License", url="https://www.llama.com/llama3_2/license/")
_GEMMA: Final = Licence(name="Gemma Terms of Use", url="https://ai.google.dev/gemma/terms")
_QWEN: Final = Licence(
    name="Qwen Research License", url="https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE"
)


_MODELS: Final = (
    RecommendedModel(
        name="smollm2-360m-instruct",
        repo="HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        file="smollm2-360m-instruct-q8_0.gguf",
        architecture="llama",
        type="Q8_0",
        licence=_APACHE,
        summary="the default's larger sister: English, quick",
        shape=_shape(49_152, 960, layers=32, heads=(15, 5, 64), d_ff=2560, context=8192),
    ),
    RecommendedModel(
        name="smollm2-1.7b-instruct",
        repo="HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        file="smollm2-1.7b-instruct-q4_k_m.gguf",
        architecture="llama",
        type="Q4_K_M",
        licence=_APACHE,
        summary="English; large keys and values",
        shape=_shape(49_152, 2048, layers=24, heads=(32, 32, 64), d_ff=8192, context=8192),
    ),
    RecommendedModel(
        name="smollm3-3b",
        repo="ggml-org/SmolLM3-3B-GGUF",
        file="SmolLM3-Q4_K_M.gguf",
        architecture="smollm3",
        type="Q4_K_M",
        licence=_APACHE,
        summary="six European languages, tools, thinks if asked to",
        shape=_shape(128_256, 2048, layers=36, heads=(16, 4, 128), d_ff=11_008, context=65_536),
    ),
    RecommendedModel(
        name="qwen2.5-0.5b-instruct",
        repo="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        file="qwen2.5-0.5b-instruct-q4_k_m.gguf",
        architecture="qwen2",
        type="Q4_K_M",
        licence=_APACHE,
        summary="29 languages, JSON, tools",
        shape=_shape(151_936, 896, layers=24, heads=(14, 2, 64), d_ff=4864, context=32_768, head="copied"),
    ),
    RecommendedModel(
        name="qwen2.5-1.5b-instruct",
        repo="Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        file="qwen2.5-1.5b-instruct-q4_k_m.gguf",
        architecture="qwen2",
        type="Q4_K_M",
        licence=_APACHE,
        summary="29 languages, JSON, tools",
        shape=_shape(151_936, 1536, layers=28, heads=(12, 2, 128), d_ff=8960, context=32_768, head="copied"),
    ),
    RecommendedModel(
        name="qwen2.5-3b-instruct",
        repo="Qwen/Qwen2.5-3B-Instruct-GGUF",
        file="qwen2.5-3b-instruct-q4_k_m.gguf",
        architecture="qwen2",
        type="Q4_K_M",
        licence=_QWEN,
        summary="29 languages, JSON, tools; not for commercial use",
        shape=_shape(
            151_936, 2048, layers=36, heads=(16, 2, 128), d_ff=11_008, context=32_768, head="copied"
        ),
    ),
    RecommendedModel(
        name="qwen3-0.6b",
        repo="Qwen/Qwen3-0.6B-GGUF",
        file="Qwen3-0.6B-Q8_0.gguf",
        architecture="qwen3",
        type="Q8_0",
        licence=_APACHE,
        summary="100 languages, tools, thinks unless told not to",
        shape=_shape(151_936, 1024, layers=28, heads=(16, 8, 128), d_ff=3072, context=40_960),
    ),
    RecommendedModel(
        name="qwen3-1.7b",
        repo="Qwen/Qwen3-1.7B-GGUF",
        file="Qwen3-1.7B-Q8_0.gguf",
        architecture="qwen3",
        type="Q8_0",
        licence=_APACHE,
        summary="100 languages, tools, thinks unless told not to",
        shape=_shape(151_936, 2048, layers=28, heads=(16, 8, 128), d_ff=6144, context=40_960),
    ),
    RecommendedModel(
        name="qwen3-4b",
        repo="Qwen/Qwen3-4B-GGUF",
        file="Qwen3-4B-Q4_K_M.gguf",
        architecture="qwen3",
        type="Q4_K_M",
        licence=_APACHE,
        summary="100 languages, tools, thinks unless told not to",
        shape=_shape(151_936, 2560, layers=36, heads=(32, 8, 128), d_ff=9728, context=40_960),
    ),
    RecommendedModel(
        name="llama-3.2-1b-instruct",
        repo="bartowski/Llama-3.2-1B-Instruct-GGUF",
        file="Llama-3.2-1B-Instruct-Q4_K_M.gguf",
        architecture="llama",
        type="Q4_K_M",
        licence=_LLAMA,
        summary="eight languages, long contexts",
        shape=_shape(128_256, 2048, layers=16, heads=(32, 8, 64), d_ff=8192, context=131_072),
    ),
    RecommendedModel(
        name="llama-3.2-3b-instruct",
        repo="bartowski/Llama-3.2-3B-Instruct-GGUF",
        file="Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        architecture="llama",
        type="Q4_K_M",
        licence=_LLAMA,
        summary="eight languages, long contexts",
        shape=_shape(128_256, 3072, layers=28, heads=(24, 8, 128), d_ff=8192, context=131_072),
    ),
    RecommendedModel(
        name="phi-4-mini-instruct",
        repo="unsloth/Phi-4-mini-instruct-GGUF",
        file="Phi-4-mini-instruct-Q4_K_M.gguf",
        architecture="phi3",
        type="Q4_K_M",
        licence=_MIT,
        summary="reasoning, mathematics, tools, long contexts",
        shape=_shape(200_064, 3072, layers=32, heads=(24, 8, 128), d_ff=8192, context=131_072),
    ),
    RecommendedModel(
        name="gemma-3-1b-it",
        repo="ggml-org/gemma-3-1b-it-GGUF",
        file="gemma-3-1b-it-Q4_K_M.gguf",
        architecture="gemma3",
        type="Q4_K_M",
        licence=_GEMMA,
        summary="English above all",
        shape=_shape(262_144, 1152, layers=26, heads=(4, 1, 256), d_ff=6912, context=32_768),
    ),
    RecommendedModel(
        name="gemma-3-4b-it",
        repo="ggml-org/gemma-3-4b-it-GGUF",
        file="gemma-3-4b-it-Q4_K_M.gguf",
        architecture="gemma3",
        type="Q4_K_M",
        licence=_GEMMA,
        summary="140 languages, long contexts; text alone",
        shape=_shape(262_144, 2560, layers=34, heads=(8, 4, 256), d_ff=10_240, context=131_072),
    ),
    RecommendedModel(
        name="minicpm4-0.5b",
        repo="Mungert/MiniCPM4-0.5B-GGUF",
        file="MiniCPM4-0.5B-q4_k_m.gguf",
        architecture="minicpm",
        type="Q4_K_M",
        licence=_APACHE,
        summary="Chinese and English",
        shape=_shape(73_448, 1024, layers=24, heads=(16, 2, 64), d_ff=4096, context=32_768),
    ),
    RecommendedModel(
        name="olmo-2-1b-instruct",
        repo="allenai/OLMo-2-0425-1B-Instruct-GGUF",
        file="OLMo-2-0425-1B-Instruct-Q4_K_M.gguf",
        architecture="olmo2",
        type="Q4_K_M",
        licence=_APACHE,
        summary="English; data and training are open too",
        shape=_shape(100_352, 2048, layers=16, heads=(16, 16, 128), d_ff=8192, context=4096, head="own"),
    ),
    RecommendedModel(
        name="mistral-7b-instruct-v0.3",
        repo="bartowski/Mistral-7B-Instruct-v0.3-GGUF",
        file="Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
        architecture="llama",
        type="Q4_K_M",
        licence=_APACHE,
        summary="English above all, tools",
        shape=_shape(32_768, 4096, layers=32, heads=(32, 8, 128), d_ff=14_336, context=32_768, head="own"),
    ),
    RecommendedModel(
        name="mistral-nemo-instruct-2407",
        repo="bartowski/Mistral-Nemo-Instruct-2407-GGUF",
        file="Mistral-Nemo-Instruct-2407-Q4_K_M.gguf",
        architecture="llama",
        type="Q4_K_M",
        licence=_APACHE,
        summary="eleven languages, tools, long contexts",
        shape=_shape(131_072, 5120, layers=40, heads=(32, 8, 128), d_ff=14_336, context=131_072, head="own"),
    ),
)

RECOMMENDED: Final[Mapping[str, RecommendedModel]] = MappingProxyType(
    {model.name: model for model in _MODELS}
)
"""Every recommended model, by name."""

CATALOG_SHAPES: Final[Mapping[str, DecoderShape]] = MappingProxyType(
    {
        "smollm2-135m-instruct": _shape(49_152, 576, layers=30, heads=(9, 3, 64), d_ff=1536, context=8192),
        "gemma-3-270m": _shape(262_144, 640, layers=18, heads=(4, 1, 256), d_ff=2048, context=32_768),
    }
)
"""The decoders of the catalog, whose files are pinned there."""
