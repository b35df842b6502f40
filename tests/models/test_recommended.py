"""The recommended models are complete, and their computed sizes are those of the files people publish."""

from __future__ import annotations

import re

import pytest

from pennyweight.models.catalog import CATALOG
from pennyweight.models.recommended import RECOMMENDED, RecommendedModel

MODELS = list(RECOMMENDED.values())

# bytes of published files, as their pages tell them
PUBLISHED = {
    "smollm3-3b": 1_915_305_312,
    "olmo-2-1b-instruct": 935_515_296,
    "qwen3-4b": 2_497_280_256,
    "minicpm4-0.5b": 276_028_992,
    "phi-4-mini-instruct": 2_491_874_272,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_entries_are_complete(model: RecommendedModel) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name)
    assert model.name not in CATALOG
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repo)
    assert model.type.lower() in model.file.lower()
    assert model.file.endswith(".gguf")
    assert model.licence.url.startswith("https://")
    assert model.shape.num_heads % model.shape.num_kv_heads == 0
    assert not model.tried, "say so when it was loaded here, and from which file"


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_of_published_files(name: str) -> None:
    model = RECOMMENDED[name]
    assert model.shape.file_bytes(model.type) == pytest.approx(PUBLISHED[name], rel=0.025)


def test_every_family_is_there() -> None:
    families = (
        "qwen2.5",
        "qwen3",
        "llama-3.2",
        "phi-4",
        "gemma-3",
        "smollm2",
        "smollm3",
        "minicpm",
        "olmo-2",
    )
    for family in (*families, "olmo-2", "mistral-7b", "mistral-nemo"):
        assert any(name.startswith(family) for name in RECOMMENDED), family


def test_parameters_are_counted_once() -> None:
    billions = {name: round(RECOMMENDED[name].shape.num_parameters / 1e9, 2) for name in RECOMMENDED}
    assert billions["qwen2.5-0.5b-instruct"] == 0.49  # its file has the embedding twice
    assert billions["llama-3.2-1b-instruct"] == 1.24
    assert billions["mistral-7b-instruct-v0.3"] == 7.25
