"""What a model needs in memory before the first page of keys and values, counted from its shapes.

Weights and buffers follow from the shapes (a test compares with what the native code allocates); what Python
takes for vocabularies, modules and requests are measured figures, rounded up (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS
from pennyweight.engine.limits import MAX_RUNNING
from pennyweight.engine.step_rows import MAX_STEP_ROWS, max_logit_rows

if TYPE_CHECKING:
    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.spec import ModelSpec

LEAST_CONTEXT = 1024  # with less a conversation of a few turns does not fit
EXTENT_TOKENS = 4 * PAGE_TOKENS  # memory is committed so many positions at a time

_BLOCK_BYTES = 52  # of 32 quantised activations
_QUERY_BYTES = 72  # of one query head
_STATE_FLOATS = 16  # of an attention state, before its output
_CHOICE_BYTES = 16  # of one expert of a row
_PRIVATE_ROWS = 3
_TILE_ROWS = 48
_TILE_BYTES = 64 * 2**10
_PACKING = 1.03  # K types' scales take so much more in panels
_OPENING = 24 * 2**20  # modules imported while a model opens
_OPENING_PER_TOKEN = 600  # of the vocabulary: the tokenizer
_SERVING = 48 * 2**20  # modules of the server, connections and requests under way
_SERVING_PER_TOKEN = 640  # of the vocabulary: tries that grammars are checked against


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Bytes of the whole process. `page_bytes` hold LEAST_CONTEXT tokens, or the model's context."""

    program_bytes: int
    weight_bytes: int
    buffer_bytes: int
    page_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.program_bytes + self.weight_bytes + self.buffer_bytes + self.page_bytes


def memory_need(outline: ModelOutline, *, resident_bytes: int, threads: int) -> MemoryNeed:
    """The need of a model that is about to be opened by a process that holds `resident_bytes` now."""
    spec = outline.spec
    opening = _OPENING + _OPENING_PER_TOKEN * spec.vocab_size
    return MemoryNeed(
        program_bytes=resident_bytes + opening + serving_bytes(spec),
        weight_bytes=int(outline.weight_bytes * _PACKING),
        buffer_bytes=buffer_bytes(spec, threads=threads, has_float_weights=outline.has_float_weights),
        page_bytes=kv_bytes(spec, min(LEAST_CONTEXT, spec.context_length)),
    )


def serving_bytes(spec: ModelSpec) -> int:
    """What comes after a model was opened and is neither buffers nor pages."""
    return _SERVING + _SERVING_PER_TOKEN * spec.vocab_size


def kv_bytes(spec: ModelSpec, context: int) -> int:
    """Keys and values of `context` positions, as memory is committed for them."""
    return -(-context // EXTENT_TOKENS) * EXTENT_TOKENS * spec.kv_bytes_per_token


def buffer_bytes(spec: ModelSpec, *, threads: int, has_float_weights: bool) -> int:
    """What the largest step that the scheduler makes works in."""
    rows = step_bytes(spec, rows=MAX_STEP_ROWS, has_float_weights=has_float_weights)
    logit_row = 4 * (spec.d_model + spec.vocab_size + 16)
    return rows + max_logit_rows(MAX_RUNNING) * logit_row + threads * _thread_bytes(spec)


def step_bytes(spec: ModelSpec, *, rows: int, has_float_weights: bool) -> int:
    """Buffers of a step of `rows` rows (native/src/step.cc, attention.cc), logits apart."""
    d_model, d_ff = _width(spec.d_model), _width(spec.d_ff)
    query, kv = _width(spec.num_heads * spec.head_dim), _width(spec.num_kv_heads * spec.head_dim)
    head_dim = -(-spec.head_dim // 16) * 16
    columns = max(d_model, query, d_ff)
    half = max(len(rope.inverse_frequencies) for rope in spec.ropes)
    floats = 2 * d_model + 2 * query + 2 * kv + 2 * len(spec.ropes) * half
    # Each expert of a row has the row's input, hidden values and output of its own.
    used = 0 if spec.experts is None else spec.experts.used
    hidden = d_ff * max(used, 1)
    blocks = (columns + hidden + used * d_model) // 32
    if spec.experts is not None:
        floats += _width(spec.experts.count) + used * (d_model + _CHOICE_BYTES // 4)
    if has_float_weights:
        floats += columns + hidden + used * d_model
    heads = spec.num_heads * (_QUERY_BYTES + 4 * (head_dim + _STATE_FLOATS))
    rounded = -(-rows // 64) * 64
    return rounded * (4 * floats + _BLOCK_BYTES * blocks + spec.num_heads * head_dim + heads)


def _width(columns: int) -> int:
    """Columns of a row of activations: whole blocks of 32."""
    return -(-columns // 32) * 32


def _thread_bytes(spec: ModelSpec) -> int:
    query = spec.num_heads * spec.head_dim
    private = _PRIVATE_ROWS * max(spec.d_model, query, spec.d_ff) * (4 + _BLOCK_BYTES // 32 + 1)
    attention = 10 * spec.head_dim * _TILE_ROWS + _TILE_BYTES
    sampling = 28 * spec.vocab_size  # adjusted logits, probabilities, indices, candidates and room to sort
    return private + attention + sampling
