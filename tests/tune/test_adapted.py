"""The adapter's layers compute what PEFT's own do, and PEFT loads the folder that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.models.converter import convert
from tests.models.families import FAMILIES, torch_model

torch = pytest.importorskip("torch", reason="the extra tune is not installed")
peft = pytest.importorskip("peft", reason="the extra tune is not installed")
from pennyweight.tune.adapted import AdaptedModel  # noqa: E402
from pennyweight.tune.base_model import load_base  # noqa: E402
from pennyweight.tune.export import write_adapter  # noqa: E402
from pennyweight.tune.group import Group  # noqa: E402
from pennyweight.tune.lora_linear import LoraLinear  # noqa: E402
from pennyweight.tune.packing import packs_of  # noqa: E402
from pennyweight.tune.tokens import TokenSequence  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265
TOKENS = tuple(range(20, 60))


@pytest.mark.parametrize("bias", [False, True])
def test_layer_and_gradients_are_pefts(bias: bool) -> None:
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=6)
    base = torch.nn.Linear(12, 10, bias=bias)
    theirs = peft.tuners.lora.Linear(base, "default", config=config, r=4, lora_alpha=6)
    ours = LoraLinear(base, "default", config=config, r=4, lora_alpha=6)
    torch.nn.init.normal_(theirs.lora_B["default"].weight)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 7, 12, requires_grad=True)
    grad = torch.randn(2, 7, 10)
    for layer in (theirs, ours):
        layer(x).backward(grad)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.lora_A["default"].weight.grad, theirs.lora_A["default"].weight.grad)
    torch.testing.assert_close(ours.lora_B["default"].weight.grad, theirs.lora_B["default"].weight.grad)
    (mine,) = torch.autograd.grad(ours(x), x, grad)
    (pefts,) = torch.autograd.grad(theirs(x), x, grad)
    torch.testing.assert_close(mine, pefts)


@pytest.mark.parametrize("name", ["llama 2", "phi 4 mini", "gemma 3"])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_peft_loads_the_folder_and_computes_the_same(name: str, tmp_path: Path) -> None:
    model = torch_model(FAMILIES[name], VOCAB_SIZE)
    path = convert(model, tmp_path / "m.gguf", kind="F32")
    adapted = AdaptedModel(
        load_base(path, context=None, weights=None, dtype=torch.float32), rank=4, alpha=8, seed=1
    )
    with torch.no_grad():
        for value in adapted.parameters.values():
            value.copy_((value + 0.05 * torch.randn_like(value)).bfloat16())
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_adapter(adapted, folder, card="")
    theirs = peft.PeftModel.from_pretrained(model, folder)
    (pack,) = packs_of([Group(1, (TokenSequence(TOKENS, ((5, 40),)),))], pack_tokens=100)
    with torch.inference_mode():
        ours, _ = adapted.logprobs(pack)
        scores = theirs(torch.tensor([TOKENS]), use_cache=False).logits[0].log_softmax(dim=-1)
        with adapted.without_adapter():
            plain, _ = adapted.logprobs(pack)
    want = scores[4:39].gather(1, torch.tensor(TOKENS[5:])[:, None])[:, 0]
    torch.testing.assert_close(ours, want, rtol=0, atol=1e-4)
    assert not torch.allclose(plain, want, atol=1e-2)


def test_a_pack_has_the_gradient_of_its_sequences(tmp_path: Path) -> None:
    path = convert(torch_model(FAMILIES["mistral"], VOCAB_SIZE), tmp_path / "m.gguf", kind="F32")
    base = load_base(path, context=None, weights=None, dtype=torch.float32)
    adapted = AdaptedModel(base, rank=4, alpha=8, seed=1)
    groups = [
        Group(number, (TokenSequence(TOKENS[: 12 * number], ((3, 5), (8, 12 * number))),))
        for number in (1, 2, 3)
    ]

    def gradients(pack_tokens: int) -> list[torch.Tensor]:
        packs = packs_of(groups, pack_tokens=pack_tokens)
        assert len(packs) == (1 if pack_tokens > 100 else 3)
        for pack in packs:
            adapted.logprobs(pack)[0].sum().backward()
        found = [value.grad.clone() for value in adapted.parameters.values()]
        for value in adapted.parameters.values():
            value.grad = None
        return found

    for together, apart in zip(gradients(1000), gradients(1), strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-5)


def test_the_adapter_is_float32_on_a_base_in_bfloat16(tmp_path: Path) -> None:
    path = convert(torch_model(FAMILIES["qwen2"], VOCAB_SIZE), tmp_path / "m.gguf", kind="Q8_0")
    base = load_base(path, context=None, weights=None, dtype=torch.bfloat16)
    adapted = AdaptedModel(base, rank=4, alpha=8, seed=1)
    assert {value.dtype for value in adapted.parameters.values()} == {torch.float32}
    assert [value.requires_grad for value in base.network.parameters()].count(True) == 2 * 7 * 2
