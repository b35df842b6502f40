"""Tiny decoders in the compiled extension, and a driver that runs one plan at a time to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.native import _native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.models.spec import ModelSpec
    from tests.native.random_blocks import Blocks
    from tests.native.tiny_decoders import TinyDecoder

PAGE = _native.PAGE_TOKENS
TARGETS = _native.targets()


def packed(blocks: Blocks, row_map: Sequence[int] | None = None) -> _native.PackedMatrix:
    return _native.PackedMatrix(
        blocks.data, type=blocks.type, rows=blocks.rows, columns=blocks.columns, row_map=row_map
    )


def native_model(tiny: TinyDecoder) -> _native.Model:
    """Packed for whichever target is active now."""
    spec = tiny.spec
    parts: dict[str, Any] = {name: packed(blocks) for name, blocks in tiny.matrices.items()}
    parts |= tiny.norms
    layers = []
    for index in range(spec.num_layers):
        prefix = f"layers.{index}."
        own = {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}
        layers.append(_native.LayerWeights(**_experts(spec, own)))
    return _native.Model(
        vocab_size=spec.vocab_size,
        d_model=spec.d_model,
        num_heads=spec.num_heads,
        num_kv_heads=spec.num_kv_heads,
        head_dim=spec.head_dim,
        d_ff=spec.d_ff,
        norm_eps=spec.norm_eps,
        activation=spec.activation,
        attention_scale=spec.attention_scale,
        embedding_scale=spec.embedding_scale,
        windows=[layer.window or 0 for layer in spec.layers],
        ropes=[list(rope.inverse_frequencies) for rope in spec.ropes],
        rope_of_layer=[layer.rope for layer in spec.layers],
        layers=layers,
        embedding=parts["embedding"],
        final_norm=parts["final_norm"],
        head=parts.get("head"),
        rope_magnitudes=[rope.magnitude for rope in spec.ropes],
        attention_softcap=spec.attention_softcap,
        logit_softcap=spec.logit_softcap,
        residual_scale=spec.residual_scale,
        logit_scale=spec.logit_scale,
        experts_used=0 if spec.experts is None else spec.experts.used,
        experts_normalize=spec.experts is not None and spec.experts.normalize,
        experts_scale=1.0 if spec.experts is None else spec.experts.scale,
    )


def _experts(spec: ModelSpec, own: dict[str, Any]) -> dict[str, Any]:
    """A layer's parts, those of experts gathered."""
    if spec.experts is None:
        return own
    triples = [
        tuple(own.pop(f"experts.{index}.{part}") for part in ("gate", "up", "down"))
        for index in range(spec.experts.count)
    ]
    return own | {"experts": triples}


class Driver:
    """One decoder; `pages()` hands out fresh ones."""

    def __init__(
        self,
        model: TinyDecoder | _native.Model,
        *,
        num_pages: int = 64,
        num_threads: int = 1,
        vocab_size: int | None = None,
    ) -> None:
        """`vocab_size` is needed with a compiled model, which does not tell its own."""
        is_packed = isinstance(model, _native.Model)
        self.decoder = _native.Decoder(
            model if is_packed else native_model(model),
            num_pages=num_pages,
            num_threads=num_threads,
            kv_format="int8" if is_packed else model.spec.kv_format,
        )
        self.vocab_size = vocab_size or model.spec.vocab_size
        self._fresh = iter(range(num_pages))

    def pages(self, positions: int) -> list[int]:
        """Enough unused pages for so many positions."""
        return [next(self._fresh) for _ in range(-(-positions // PAGE))]

    def run(
        self, *rows: _native.Row, steps: int = 1, masks: Sequence[tuple[int, bytes]] = ()
    ) -> list[list[_native.RowResult]]:
        """All steps of one plan."""
        self.decoder.begin(rows, steps=steps)
        results, done = self.decoder.finish(masks, timeout_s=1.0)
        while not done:
            more, done = self.decoder.finish(timeout_s=1.0)
            results += more
        return results

    def logits(self, row: int = 0) -> np.ndarray:
        """`[positions, vocab]` of a row of the last step that asked for all of them."""
        return np.frombuffer(self.decoder.logits(row), np.float32).reshape(-1, self.vocab_size)

    def score(self, tokens: Sequence[int], *, position: int = 0, pages: Sequence[int] = ()) -> np.ndarray:
        """Logits of every position of one row; fresh pages unless some are given."""
        pages = pages or self.pages(position + len(tokens))
        self.run(all_logits(tokens, position, pages))
        return self.logits()


def sampled(
    tokens: Sequence[int], position: int, pages: Sequence[int], slot: int, **more: Any
) -> _native.Row:
    """A row that chooses the token after its last."""
    return _native.Row(
        tokens=list(tokens),
        position=position,
        pages=list(pages),
        sampler=slot,
        logits=_native.Logits.LAST,
        **more,
    )


def all_logits(tokens: Sequence[int], position: int, pages: Sequence[int], **more: Any) -> _native.Row:
    return _native.Row(
        tokens=list(tokens), position=position, pages=list(pages), logits=_native.Logits.ALL, **more
    )
