"""The adapter as PEFT's folder: bfloat16 tensors, settings, and a card for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from pennyweight.models.adapter.base import BASE, BASE_HASH

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.tune.adapted import AdaptedModel

TENSORS_FILE = "adapter_model.safetensors"
SETTINGS_FILE = "adapter_config.json"
CARD_FILE = "README.md"


def write_adapter(model: AdaptedModel, folder: Path, *, card: str) -> None:
    """Into an existing folder. `base_model_name_or_path` is the base's served name.

    The base's content hash, which serving compares, stands in the tensors' header: PEFT warns of settings it
    does not know.
    """
    tensors = {
        name: value.detach().to(torch.bfloat16).contiguous() for name, value in model.parameters.items()
    }
    base = model.base
    about = {"format": "pt", BASE: base.name, BASE_HASH: base.content_hash}
    (folder / TENSORS_FILE).write_bytes(_with_header_in_order(save(tensors, metadata=about)))
    settings = {key: value for key, value in model.config.to_dict().items() if key != "runtime_config"}
    settings |= {"base_model_name_or_path": base.name, "inference_mode": True}
    text = json.dumps(settings, indent=2, sort_keys=True, default=_plain)
    (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def _with_header_in_order(data: bytes) -> bytes:
    """The same file for the same adapter: the library writes its metadata in an order of chance."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _plain(value: object) -> Any:
    """Sets and enumerations, which JSON does not have."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
