"""The network that is tuned is the model that serves: every family, several sequences in one pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.errors import ModelFileError, ModelNotFoundError
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.text.tokenizer import Tokenizer
from tests.models.converter import convert
from tests.models.families import FAMILIES, torch_model
from tests.models.tiny import WEIGHT_TYPES, k_shape, llama_shape, write_tiny
from tests.native.agreement import divergence
from tests.native.native_decoders import Driver

torch = pytest.importorskip("torch", reason="the extra tune is not installed")
pytest.importorskip("peft", reason="the extra tune is not installed")
from pennyweight.tune.attention import Visibility  # noqa: E402
from pennyweight.tune.base_model import BaseModel, load_base  # noqa: E402
from pennyweight.tune.logprobs import logprobs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DENSE = [name for name, family in FAMILIES.items() if "num_experts_per_tok" not in family.settings]
VOCAB_SIZE = 265
TEXT = """The lighthouse at the end of the harbour was built in 1871, after the third winter in a row in which
a ship had been lost on the rocks. Every evening its keeper carried the oil up one hundred and twelve
steps, trimmed the wick, and wound the clockwork that turned the lens. When electricity came to the town
the lamp was changed, but the clockwork stayed, and it is still wound by hand once a year."""
LENGTH = 80
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, LENGTH)]


def logits(base: BaseModel, sequences: Sequence[list[int]]) -> list[np.ndarray]:
    """Of each sequence, all of them in one pack."""
    lengths = tuple(len(sequence) for sequence in sequences)
    tokens = torch.tensor([[token for sequence in sequences for token in sequence]])
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    spec = base.spec
    with torch.inference_mode():
        output = base.decoder(
            input_ids=tokens,
            position_ids=positions,
            segments=lengths,
            spec=spec,
            visibility=Visibility(),
        )
        scores = (output.last_hidden_state[0] @ base.head.T).float() * spec.logit_scale
        if spec.logit_softcap:
            scores = torch.tanh(scores / spec.logit_softcap) * spec.logit_softcap
    return [part.numpy() for part in scores.split(lengths)]


@pytest.mark.filterwarnings("ignore:.*original_max_position_embeddings")
@pytest.mark.parametrize("name", DENSE)
def test_a_pack_is_the_model_of_transformers_on_each_sequence(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model = torch_model(family, VOCAB_SIZE)
    whole = TOKENS[: family.context or LENGTH]
    with torch.inference_mode():
        want = model(torch.tensor([whole]), use_cache=False).logits[0].numpy()
    path = convert(model, tmp_path / "q8.gguf", kind="Q8_0")
    base = load_base(path, context=family.context, weights=None, dtype=torch.float32)
    first, second, third = logits(base, [whole, whole[:11], whole[5:20]])
    np.testing.assert_allclose(first, want, rtol=0, atol=1e-4)
    np.testing.assert_allclose(second, want[:11], rtol=0, atol=1e-4)
    np.testing.assert_allclose(third, logits(base, [whole[5:20]])[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_weights_are_those_the_engine_packs(kind: str, tmp_path: Path) -> None:
    shape = llama_shape(kind=kind, num_layers=1)
    path = write_tiny(tmp_path / "t.gguf", k_shape(shape, kind) if kind.endswith("_K") else shape)
    packed = {}
    loaded = load(path, packed=lambda role, matrix: packed.update({role.tensor: matrix}))
    base = load_base(path, context=None, weights=None, dtype=torch.float32)
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "ffn_down": "mlp.down_proj"}
    state = base.network.state_dict()
    for stored, name in names.items():
        matrix = packed[f"blk.0.{stored}.weight"]
        ours = state[f"model.layers.0.{name}.weight"]
        assert [matrix.row(row) for row in range(matrix.rows)] == ours.tolist()
    assert base.content_hash == loaded.content_hash


def test_experts_are_refused(tmp_path: Path) -> None:
    path = convert(torch_model(FAMILIES["mixtral"], VOCAB_SIZE), tmp_path / "m.gguf", kind="Q8_0")
    with pytest.raises(ModelFileError, match="a mixture of experts cannot be tuned"):
        load_base(path, context=None, weights=None, dtype=torch.float32)


@pytest.mark.parametrize(("scale", "cap"), [(1.0, 0.0), (0.5, 0.0), (2.0, 4.0)])
def test_logprobs_and_their_gradient_are_those_of_torch(scale: float, cap: float, tmp_path: Path) -> None:
    from dataclasses import replace

    path = write_tiny(tmp_path / "t.gguf", llama_shape(num_layers=1))
    base = load_base(path, context=None, weights=None, dtype=torch.float32)
    spec = replace(base.spec, logit_scale=scale, logit_softcap=cap)
    torch.manual_seed(0)
    states = torch.randn(300, spec.d_model, requires_grad=True)
    labels = torch.randint(0, spec.vocab_size, (300,))
    ours, right = logprobs(states, labels, base.head, spec)
    scores = states @ base.head.T * scale
    scores = torch.tanh(scores / cap) * cap if cap else scores
    theirs = scores.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(ours, theirs)
    assert right.tolist() == (scores.argmax(dim=1) == labels).tolist()
    weights = torch.randn(300)
    (mine,) = torch.autograd.grad((ours * weights).sum(), states)
    (torchs,) = torch.autograd.grad((theirs * weights).sum(), states)
    torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-5)


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_default_model_is_near_the_engine(dtype: str) -> None:
    try:
        path = resolve("smollm2-135m-instruct")
    except ModelNotFoundError:
        pytest.skip("the default model is not on disk")
    base = load_base(path, context=None, weights=None, dtype=getattr(torch, dtype))
    tokens = Tokenizer.from_metadata(base.metadata).encode(TEXT)
    ours = Driver(load(path).model, vocab_size=base.spec.vocab_size).score(tokens)
    (theirs,) = logits(base, [tokens])
    assert divergence(theirs, ours) < 0.006
