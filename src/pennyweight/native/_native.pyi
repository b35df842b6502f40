"""The compiled extension: shapes are checked here, the work is done in C++ without the GIL.

Errors: ValueError for a wrong shape, type or range (nothing was changed), RuntimeError for a broken
invariant.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from typing_extensions import Buffer

PAGE_TOKENS: int

# --- instruction sets -------------------------------------------------------------------------------------
def targets() -> list[str]:
    """Targets this processor and operating system can run, best first: avx512vnni, avxvnni, avx2,
    neon_dotprod, neon, scalar.
    """

def compiled_targets() -> list[str]: ...
def active_target() -> str: ...
def use_target(name: str) -> None:
    """Force one of `targets()` for everything made afterwards; ValueError names the choices."""

def cpu_features() -> dict[str, bool]:
    """Every compiled target and whether this machine can run it."""

def useful_threads() -> int:
    """Physical cores this process may use: affinity, cgroup quota and SMT siblings considered."""

def release_free_memory() -> None:
    """Give back to the system what the C library keeps of freed memory (glibc; elsewhere nothing happens)."""

# --- weights ----------------------------------------------------------------------------------------------
class PackedMatrix:
    """A `[rows, columns]` weight matrix in panels of 16 rows x 32 columns, losslessly transcoded from
    `type`.
    """

    def __init__(
        self, data: Buffer, *, type: str, rows: int, columns: int, row_map: Sequence[int] | None = None
    ) -> None:
        """`data` holds GGUF blocks row by row: `type` is one of F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
        Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS.

        Packed row `i` is source row `row_map[i]`. `columns` is a multiple of the type's block: 256 for K
        types and IQ4_XS, 1 for F32, F16 and BF16, else 32.
        """
    @staticmethod
    def from_pieces(
        pieces: Iterable[Buffer], *, type: str, rows: int, columns: int, row_map: Sequence[int] | None = None
    ) -> PackedMatrix:
        """The same from pieces of `data`, each some whole source rows, in order; none is kept."""
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def row_map(self) -> list[int]:
        """Source row of each packed row, for adapters; empty if the order was kept."""
    def observe(self) -> None:
        """From now on decoders add up the squares of what goes into this matrix; not while a step runs."""
    def input_squares(self) -> tuple[int, list[float]]:
        """Rows that went in since `observe`, and for each column the sum of their squares."""
    def row(self, index: int) -> list[float]:
        """One row, dequantised (tests and the embedding lookup share this code)."""
    def multiply(self, x: Buffer, *, tokens: int, fine: bool = False, target: str | None = None) -> bytes:
        """`x` float32 `[tokens, columns]` -> float32 `[tokens, rows]`, as the decoder computes it.

        `fine` quantises `x` with a scale per 16 columns instead of 32.
        """

def requantize(data: Buffer, *, type: str, to: str, columns: int, importance: Buffer | None = None) -> bytes:
    """Rows of GGUF blocks of one type in another, by a search for the scales of least weighted error.

    `to` is one of F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q6_K IQ4_NL. `importance`, float32 `[columns]`,
    says how much a squared error in each column counts; None: all the same. ValueError for sizes that do not
    fit and for values that are not finite.
    """

class LayerWeights:
    """Every matrix is `[out, in]`; every vector float32. Parts of `qkv` and `gate`/`up` may differ in
    type.

    A vector that is None is an operation the layer does not have. `query_norm` has `head_dim` values, or
    one for each row of `query`: then all heads of a token are one vector; so `key_norm`. A bias is in the
    order of the packed rows. `gate`, `up` and `down`, or a `router` `[experts, in]` and each expert's three.
    """

    def __init__(
        self,
        *,
        query: PackedMatrix,
        key: PackedMatrix,
        value: PackedMatrix,
        output: PackedMatrix,
        gate: PackedMatrix | None = None,
        up: PackedMatrix | None = None,
        down: PackedMatrix | None = None,
        attention_norm: Buffer | None = None,
        feed_forward_norm: Buffer | None = None,
        query_norm: Buffer | None = None,
        key_norm: Buffer | None = None,
        post_attention_norm: Buffer | None = None,
        post_feed_forward_norm: Buffer | None = None,
        query_bias: Buffer | None = None,
        key_bias: Buffer | None = None,
        value_bias: Buffer | None = None,
        output_bias: Buffer | None = None,
        router: PackedMatrix | None = None,
        experts: Sequence[tuple[PackedMatrix, PackedMatrix, PackedMatrix]] | None = None,
    ) -> None: ...

class Model:
    """An immutable decoder: `ModelSpec` fields, layers in order, embedding, final norm and head (None:
    tied).
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        d_ff: int,  # of each expert, where there are experts
        norm_eps: float,
        activation: str,
        attention_scale: float,
        embedding_scale: float,
        windows: Sequence[int],  # per layer, 0: full attention
        ropes: Sequence[Sequence[float]],
        rope_of_layer: Sequence[int | None],  # None: queries and keys are not rotated
        layers: Sequence[LayerWeights],
        embedding: PackedMatrix,
        final_norm: Buffer,
        head: PackedMatrix | None = None,
        rope_magnitudes: Sequence[float] = (),  # per rope; empty: 1
        attention_softcap: float = 0.0,  # 0: none
        logit_softcap: float = 0.0,
        residual_scale: float = 1.0,
        logit_scale: float = 1.0,
        experts_used: int = 0,  # 0: no layer has experts; else all have
        experts_normalize: bool = False,
        experts_scale: float = 1.0,
    ) -> None: ...
    @property
    def weight_bytes(self) -> int: ...

class LowRank:
    """What an adapter adds to one matrix: `scale * up @ down`, both rounded to eight bits (docs/numerics.md).

    Immutable; made without the GIL, so that it may be made beside a running decoder.
    """

    def __init__(
        self,
        down: Buffer,
        up: Buffer,
        *,
        rank: int,
        type: str = "F32",
        scale: float = 1.0,
        row_map: Sequence[int] | None = None,
    ) -> None:
        """`down` `[rank, in]` and `up` `[out, rank]`, row by row, of `type` F32, F16 or BF16; `in` and `out`
        follow from the sizes. `rank` is 1 to 256.

        The rows of `up` are in the order of the packed matrix, or row `i` of it is `up`'s row `row_map[i]`.
        ValueError for sizes that do not fit and for values that are not finite.
        """
    @property
    def rank(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class Adapter:
    """Immutable: what is added to the matrices of one model's layers. Rows name it; it is gone with its last
    reference, of which a decoder holds one while a plan runs.
    """

    def __init__(self, model: Model, layers: Sequence[Mapping[str, LowRank]]) -> None:
        """For each layer of `model` some of `query`, `key`, `value`, `output`, `gate`, `up`, `down`; what is
        absent stays as it is. ValueError names a matrix that is not there (experts have no `gate`, `up` and
        `down` of the layer), and one of another shape.
        """
    @property
    def nbytes(self) -> int: ...

# --- the step ---------------------------------------------------------------------------------------------
class Logits(Enum):
    NONE = 0
    LAST = 1
    ALL = 2

class Row:
    """One sequence's share of a step.

    `tokens[i]` stands at `position + i`; `pages[j]` holds positions `64 j .. 64 j + 63` and must cover
    `position + len(tokens) + steps - 1` positions. The last `draft_length` tokens are a draft: the
    sampler checks them. `sampler` names a slot of the decoder; a row without one samples nothing.
    `logits` ALL also returns the log-probability of each `targets[i]` under position `position + i`
    (prompt logprobs); one target per token, with the `target_top` likeliest tokens (0 to 20) of each
    place. `embeddings` replaces the lookup of `tokens[start + k]` by
    vector `k`: pairs (start, float32 vectors). `adapter` was made for the decoder's own model; rows with
    different ones, and without, share a step. `taken` are tokens the sequence took without sampling since
    this slot's last row: the sampler counts them before it samples.
    """

    def __init__(
        self,
        *,
        tokens: Sequence[int],
        position: int,
        pages: Sequence[int],
        sampler: int | None = None,
        logits: Logits = ...,
        draft_length: int = 0,
        targets: Sequence[int] = (),
        target_top: int = 0,
        embeddings: Sequence[tuple[int, Buffer]] = (),
        masked: bool = False,
        hidden: bool = False,
        adapter: Adapter | None = None,
        taken: Sequence[int] = (),
    ) -> None: ...

class RowResult:
    """What one row of one step produced.

    `tokens` has one entry, plus one for each accepted draft token; empty if the row has no sampler.
    `logprobs[i]` and `top[i]` belong to `tokens[i]` and are empty unless the slot asked. `stopped`: the
    last token is an end token of the slot. `target_logprobs` answers `Row.targets`, `target_top` its
    `target_top`; `hidden` is the final-norm state of the last position, float32 `[d_model]`. `error` is
    empty, or says why this row has no result (logits that are not finite, a mask that allows nothing); the
    other rows have theirs.
    """

    row: int
    tokens: list[int]
    accepted_drafts: int
    stopped: bool
    logprobs: list[float]
    top: list[list[tuple[int, float]]]
    target_logprobs: list[float]
    target_top: list[list[tuple[int, float]]]
    hidden: bytes
    error: str

class Decoder:
    """The fused step over one model, its KV pages and its sampler slots; one engine thread drives it."""

    def __init__(
        self, model: Model, *, num_pages: int, num_threads: int = 0, kv_format: str = "int8"
    ) -> None:
        """`num_threads` 0: as many as physical cores, affinity and cgroup quota allow. Pages cost memory
        when touched; they hold keys and values as "int8" or, in half of that, as "int4", which heads of a
        multiple of 16 elements can have (ValueError).
        """
    @property
    def target(self) -> str:
        """The instruction set this decoder was made for."""
    @property
    def num_threads(self) -> int: ...
    @property
    def cpu_s(self) -> float:
        """Seconds of processor time of its threads since they began. From any thread."""
    @property
    def num_pages(self) -> int: ...
    @property
    def page_bytes(self) -> int:
        """Bytes of one page over all layers. Memory is committed four pages at a time."""
    @property
    def buffer_bytes(self) -> int:
        """Bytes that steps work in beside weights and pages; they grow with the largest plan so far. Only
        between plans.
        """
    def open_sampler(
        self,
        *,
        seed: int,
        choice: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Sequence[tuple[int, float]] = (),
        end_tokens: Sequence[int] = (),
        min_tokens: int = 0,
        top_logprobs: int | None = None,
        prompt: Sequence[int] = (),
    ) -> int:
        """A slot. It outlives preemption: its counts and its random counter follow the tokens it has
        sampled.
        """
    def close_sampler(self, slot: int) -> None: ...
    def begin(self, rows: Sequence[Row], *, steps: int = 1) -> None:
        """Start and return at once. With `steps` > 1 every row is one token, unmasked and without draft."""
    def finish(
        self, masks: Sequence[tuple[int, Buffer]] = (), *, timeout_s: float = 0.01
    ) -> tuple[list[list[RowResult]], bool]:
        """Give the masks of the masked rows (row index, bitmask words), wait until a step has finished or
        `timeout_s` has passed, and return the finished steps not returned before, and whether the plan
        is done.

        A row with a draft takes up to `draft_length + 1` masks, one behind the other: the first is for the
        first draft token, and the draft is checked only as far as masks reach.
        The first call after `begin` supplies all masks. A row that stopped takes no part in later steps;
        the plan ends early when all have stopped or `interrupt` was called. Without masked rows `finish`
        waits at most `timeout_s`; with them until the step is done.
        """
    def interrupt(self) -> None:
        """End a plan of several steps after the step under way. Safe from any thread, harmless when idle."""
    def copy_page(self, source: int, destination: int) -> None:
        """Copy one page in every layer (the shared tail of a fork). Only between plans."""
    def commit_page(self, page: int) -> None:
        """Let one page have its memory and keep what it holds. From any thread, also while a plan runs."""
    def read_page(self, page: int) -> bytes:
        """A copy of one page in every layer, `page_bytes` long: it means something to a decoder of the same
        model, page format and version alone. Only between plans.
        """
    def write_page(self, page: int, data: Buffer) -> None:
        """Let a page hold what `read_page` gave; ValueError for another length. Only between plans."""
    def logits(self, row: int) -> bytes:
        """Raw logits of a row of the last finished step, float32 `[positions with logits, vocab_size]`.

        For measurements and tests; valid until the next `begin`.
        """

# --- text encoders ----------------------------------------------------------------------------------------
class Affine:
    """A linear layer with a bias: `weight` `[out, in]`, `bias` float32 `[out]`."""

    def __init__(self, *, weight: PackedMatrix, bias: Buffer) -> None: ...

class LayerNorm:
    """Weight and bias, float32 `[d_model]` each."""

    def __init__(self, *, weight: Buffer, bias: Buffer) -> None: ...

class EncoderLayer:
    """Attention and feed-forward, each added to its input and then normalised (post-norm)."""

    def __init__(
        self,
        *,
        query: Affine,
        key: Affine,
        value: Affine,
        output: Affine,
        attention_norm: LayerNorm,
        up: Affine,
        down: Affine,
        output_norm: LayerNorm,
    ) -> None: ...

class EncoderModel:
    """An immutable text encoder of BERT's kind: GELU with the error function, learned positions.

    `positions` has a row per position and bounds the length of a text; `token_type`, float32 `[d_model]`, is
    added to every token. `pooling`: "mean" over the tokens, or the "first" token's state.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        d_ff: int,
        norm_eps: float,
        pooling: str,
        embedding: PackedMatrix,
        positions: PackedMatrix,
        token_type: Buffer,
        embedding_norm: LayerNorm,
        layers: Sequence[EncoderLayer],
    ) -> None: ...
    @property
    def weight_bytes(self) -> int: ...

class Encoder:
    """One model and threads of its own, which yield to the decoder's where the system has priorities."""

    def __init__(self, model: EncoderModel, *, num_threads: int = 0) -> None:
        """`num_threads` 0: as many as physical cores, affinity and cgroup quota allow."""
    @property
    def target(self) -> str: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def cpu_s(self) -> float:
        """As the decoder's."""
    def encode(self, texts: Sequence[Sequence[int]]) -> bytes:
        """Token ids to pooled states, float32 `[len(texts), d_model]`, not normalised.

        A text's bits depend on nothing but its tokens. Callers on several threads take turns.
        """

def to_q8_0(data: Buffer, *, type: str) -> bytes:
    """Float values (`type` F32, F16 or BF16) rounded to Q8_0 blocks; their number is a multiple of 32."""

def combine(vectors: Buffer, *, weights: Sequence[int], width: int, dimensions: int) -> bytes:
    """The weighted sum of float32 vectors `[len(weights), width]`, cut to its first `dimensions` values and
    scaled to length 1. Sums run in double, in order.
    """

def similarities(query: Buffer, vectors: Buffer) -> bytes:
    """Dot products, float32, of a float32 vector with each of `vectors`: Q8_0 blocks as `to_q8_0` makes them.

    The query is rounded to Q8_0 as well. Raises ValueError for sizes that do not fit.
    """

# --- measurements -----------------------------------------------------------------------------------------
def measure_bandwidth(num_threads: int) -> float:
    """Bytes per second of a streaming read that fits no cache."""

def measure_int8_peak(num_threads: int) -> float:
    """Multiply-accumulates per second of the active target's byte dot product, registers only."""
