"""Which tensor of a folder is which of GGUF's.

`model.layers.3.self_attn.q_proj.weight` is `blk.3.attn_q.weight`. What has no name here keeps its own, and is
refused by it when nothing in the decoder asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAYER: Final = re.compile(r"model\.layers\.(?P<layer>\d{1,6})\.(?P<part>.+)\.(?P<kind>weight|bias)")
_EXPERT: Final = re.compile(r"(?P<before>.+\.experts)\.(?P<expert>\d{1,6})\.(?P<part>\w+)")
_BUFFER: Final = re.compile(r"model\.(?:layers\.\d+\.self_attn\.)?rotary_emb\.\w+")

_WHOLE: Final = MappingProxyType(
    {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
)

_ATTENTION: Final = MappingProxyType(
    {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.qkv_proj": "attn_qkv",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
    }
)
_FEED_FORWARD: Final = MappingProxyType(
    {
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "mlp.gate_up_proj": "ffn_up",  # gate above up, as GGUF has it
        "mlp.gate": "ffn_gate_inp",
        "mlp.experts.gate_proj": "ffn_gate_exps",
        "mlp.experts.up_proj": "ffn_up_exps",
        "mlp.experts.down_proj": "ffn_down_exps",
        "block_sparse_moe.gate": "ffn_gate_inp",
        "block_sparse_moe.experts.w1": "ffn_gate_exps",
        "block_sparse_moe.experts.w3": "ffn_up_exps",
        "block_sparse_moe.experts.w2": "ffn_down_exps",
    }
)
Norms = Literal["pre", "post", "both"]
"""Where a family's layers have them: the same name means another one in each."""
_POST_NORMS: Final = {
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_NORMS: Final[Mapping[Norms, Mapping[str, str]]] = MappingProxyType(
    {
        "pre": {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"},
        "post": _POST_NORMS,
        "both": {"input_layernorm": "attn_norm", "pre_feedforward_layernorm": "ffn_norm", **_POST_NORMS},
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """GGUF's name of a tensor, or of one with all experts, of which this is number `expert`."""

    name: str
    expert: int | None = None


def place_of(name: str, norms: Norms) -> Place | None:
    """Where the tensor `name` belongs; None for what transformers computes anew (rotary frequencies)."""
    if _BUFFER.fullmatch(name):
        return None
    match = _LAYER.fullmatch(name)
    if match is None:
        return Place(_WHOLE.get(name, name))
    part, expert = match["part"], None
    if numbered := _EXPERT.fullmatch(part):
        part, expert = f"{numbered['before']}.{numbered['part']}", int(numbered["expert"])
    known = _ATTENTION.get(part) or _FEED_FORWARD.get(part) or _NORMS[norms].get(part)
    if known is None:
        return Place(name)
    return Place(f"blk.{int(match['layer'])}.{known}.{match['kind']}", expert)
