"""`adapter_config.json`: ranks and scales as PEFT has them, everything else refused by name."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.config import AdapterConfig
from tests.models.adapter.tiny_adapter import adapter_config

QUERY = "model.layers.1.self_attn.q_proj"


def read(**changes: Any) -> AdapterConfig:
    return AdapterConfig.read(adapter_config(**changes))


def test_the_scale_is_alpha_over_rank() -> None:
    config = read(r=16, lora_alpha=24)
    assert (config.rank_of(QUERY), config.scale_of(QUERY)) == (16, 1.5)
    assert read(r=16, lora_alpha=24, use_rslora=True).scale_of(QUERY) == 24 / sqrt(16)


@pytest.mark.parametrize(
    "pattern", ["q_proj", "self_attn.q_proj", r"layers\.1\.self_attn\.q_proj", f"^{QUERY}$"]
)
def test_a_pattern_is_a_name_or_its_end(pattern: str) -> None:
    config = read(r=4, lora_alpha=4, rank_pattern={pattern: 8}, alpha_pattern={pattern: 2})
    assert (config.rank_of(QUERY), config.scale_of(QUERY)) == (8, 0.25)
    assert config.scale_of("model.layers.11.self_attn.k_proj") == 1.0
    assert config.rank_of("model.layers.1.other_q_proj") == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'; expected LORA"),
        ({"use_dora": True}, "use_dora is True: DoRA are not computed here"),
        ({"bias": "all"}, "bias is 'all': trained biases"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"modules_to_save": ["lm_head"]}, "whole modules beside the low-rank ones"),
        ({"fan_in_fan_out": True}, "transposed weights"),
        ({"layer_replication": [[0, 2]]}, "repeated layers"),
        ({"target_parameters": ["mlp.experts.gate_up_proj"]}, "parameters that are no linear layer"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which changes the base model"),
        ({"of_tomorrow": 3}, "of_tomorrow is 3: which this engine does not know"),
        ({"r": 257}, "r is 257; expected a rank from 1 to 256"),
        ({"r": 0}, "r is 0"),
        ({"r": None}, "r is missing"),
        ({"r": True}, "r is True"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": 1e300}, "lora_alpha is 1e"),
        ({"lora_alpha": "16"}, "lora_alpha is '16'"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'; expected true or false"),
        ({"rank_pattern": {"q_proj": 300}}, "rank_pattern is 300"),
        ({"rank_pattern": {"(a+)+$": 8}}, "without other regular expressions"),
        ({"alpha_pattern": ["q_proj"]}, "alpha_pattern is"),
    ],
)
def test_one_sentence_says_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(**changes)
    assert said in caught.value.message
    assert caught.value.message.startswith("adapter_config.json: ")


def test_unknown_keys_may_be_off() -> None:
    read(of_tomorrow=None, later=False, much_later={}, pennyweight={"base": "x"}, exclude_modules=["lm_head"])
