"""Adapters that `peft` made and saved: its logits on the same weights, from GGUF files and from folders.

The tolerance is that of the same families without adapters. What an adapter adds here is as large as what it
adds to, so that a row in the wrong place, a wrong scale or a missing module would be far outside of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.adapter.files import AdapterFiles
from pennyweight.models.adapter.pack import pack_adapter
from pennyweight.models.load import load
from tests.models.converter import convert
from tests.models.families import FAMILIES, ORIGINAL_CONTEXT, torch_model
from tests.models.huggingface.test_folder_families import saved
from tests.native.agreement import divergence
from tests.native.native_decoders import Driver, all_logits

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265  # of the tiny vocabulary
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, 2 * ORIGINAL_CONTEXT)]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
SEPARATE = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
MODULES = {
    "llama 3": SEPARATE,  # rows of queries and keys interleaved in GGUF
    "mixtral": ATTENTION,
    "qwen2": SEPARATE,
    "phi 3": FUSED,
    "phi 4 mini": FUSED,  # heads that turn in part
    "gemma 3": SEPARATE,
    "smollm 3": SEPARATE,
}


@dataclass(frozen=True)
class Made:
    """A model, the folder of its adapter, and what `peft` computes with both."""

    family: Any
    base: Any
    folder: Path
    logits: np.ndarray


@pytest.fixture(scope="module", params=MODULES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    for library in ("torch", "transformers", "peft"):
        pytest.importorskip(library, reason=f"{library} is a development dependency")
    family, folder = FAMILIES[request.param], tmp_path_factory.mktemp("adapter")
    base = torch_model(family, VOCAB_SIZE)
    logits = adapted_logits(base, folder, MODULES[request.param])
    return Made(family=family, base=base, folder=folder, logits=logits)


def adapted_logits(base: Any, folder: Path, modules: list[str]) -> np.ndarray:
    """Of a random adapter with ranks and scales that differ between modules, which is left in `folder`."""
    import peft
    import torch

    config = peft.LoraConfig(
        r=8,
        lora_alpha=8,
        target_modules=modules,
        rank_pattern={"o_proj": 3},
        alpha_pattern={"layers.1.self_attn.o_proj": 6},
        use_rslora=True,
    )
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about what peft asks it
        model = peft.get_peft_model(base, config)
    for name, values in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values.data, std=0.1)
    with torch.inference_mode():
        logits: np.ndarray = model(torch.tensor([TOKENS]), use_cache=False).logits[0].numpy()
    model.save_pretrained(folder)
    model.unload()
    return logits


def scores(path: Path, made: Made, *, adapted: bool = True) -> np.ndarray:
    loaded = load(path, context=made.family.context)
    adapter = pack_adapter(AdapterFiles.of(made.folder), loaded.adapter_targets, loaded.model)
    driver = Driver(loaded.model, vocab_size=VOCAB_SIZE)
    row = all_logits(TOKENS, 0, driver.pages(len(TOKENS)), adapter=adapter if adapted else None)
    driver.run(row)
    return driver.logits().copy()


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_the_engine_with_the_adapter_is_peft(made: Made, kind: str, tmp_path: Path) -> None:
    path = convert(made.base, tmp_path / "a.gguf", kind=kind)
    apart, without = (divergence(made.logits, scores(path, made, adapted=has)) for has in (True, False))
    # With random experts a near tie lets another one answer.
    assert apart < (0.02 if "num_experts_per_tok" in made.family.settings else 0.007)
    assert without > 20 * apart


def test_folders_and_files_compute_the_same_bits(made: Made, tmp_path: Path) -> None:
    paths = saved(made.base, tmp_path / "folder"), convert(made.base, tmp_path / "a.gguf", kind="F32")
    np.testing.assert_array_equal(*(scores(path, made) for path in paths))
