"""Which files of a repository are taken."""

from __future__ import annotations

import pytest

from pennyweight.errors import FetchError
from pennyweight.models.block_types import BLOCK_TYPES
from pennyweight.models.hub import HubFile, HubRepository
from pennyweight.models.hub_choice import DEFAULT_TYPES, choose, gguf_variants

GB = 10**9
FULL = {
    "m-Q8_0.gguf": 8 * GB,
    "m-Q4_K_M.gguf": 5 * GB,
    "m-Q3_K_M.gguf": 4 * GB,
    "m-Q2_K.gguf": 3 * GB,
    "m-IQ1_S.gguf": 1 * GB,
    "m-f16.gguf": 15 * GB,
    "mmproj-m-f16.gguf": GB // 10,
    "m.imatrix.gguf": GB // 100,
    "README.md": 3,
}
FOLDER = {"config.json": 1, "tokenizer.json": 1, "pytorch_model.bin": 9, "original/consolidated.00.pth": 9}


def holding(files: dict[str, int]) -> HubRepository:
    listed = tuple(HubFile(name=name, size=size) for name, size in files.items())
    return HubRepository(repo="o/m", commit="c" * 40, files=listed)


@pytest.mark.parametrize(
    ("memory", "taken", "saying"),
    [
        (16, "m-Q4_K_M.gguf", "Q4_K_M: the usual choice, and it fits the memory"),
        (5.2, "m-Q3_K_M.gguf", "Q3_K_M: the largest that fits the memory, which Q4_K_M does not"),
        (4, "m-Q2_K.gguf", "Q2_K: the largest that fits"),
    ],
)
def test_the_default_suits_the_memory(memory: float, taken: str, saying: str) -> None:
    choice = choose(holding(FULL), None, memory_bytes=int(memory * GB))
    assert [file.name for file in choice.files] == [taken]
    assert saying in choice.reason


def test_nothing_fits() -> None:
    with pytest.raises(FetchError, match=r"no file of o/m fits the 2\.0 GB .* smallest, m-Q2_K\.gguf, has 3"):
        choose(holding(FULL), None, memory_bytes=2 * GB)
    assert choose(holding(FULL), "Q8_0", memory_bytes=2 * GB).num_bytes == 8 * GB


def test_without_the_usual_type_the_next_one() -> None:
    choice = choose(holding({"a.Q8_0.gguf": 2, "a.q4_0.gguf": 1}), None, memory_bytes=GB)
    assert (choice.files[0].name, choice.reason) == (
        "a.q4_0.gguf",
        "Q4_0: there is no Q4_K_M, and it fits the memory",
    )
    assert choose(holding({"odd-name.gguf": 2}), None, memory_bytes=GB).reason == "the only GGUF file"
    with pytest.raises(FetchError, match=r"name one of the files of o/m: one\.gguf \(0\.00 GB\), two\.gguf"):
        choose(holding({"one.gguf": 1, "two.gguf": 2}), None, memory_bytes=GB)


def test_the_default_is_of_a_type_this_engine_computes() -> None:
    names = {block.name for block in BLOCK_TYPES.values()}
    for type in DEFAULT_TYPES:
        block = type.removesuffix("_M").removesuffix("_S").removesuffix("_L")
        repository = holding({f"m-{type}.gguf": 1, "m-IQ1_S.gguf": 2})
        if block in names:
            assert choose(repository, None, memory_bytes=GB).files[0].name == f"m-{type}.gguf"
        else:
            with pytest.raises(FetchError, match="name one of the files"):
                choose(repository, None, memory_bytes=GB)


def test_files_and_types_by_name() -> None:
    assert choose(holding(FULL), "m-f16.gguf", memory_bytes=0).num_bytes == 15 * GB
    assert choose(holding(FULL), "q2_k", memory_bytes=0).files[0].name == "m-Q2_K.gguf"
    with pytest.raises(FetchError, match=r"o/m has no Q5_0; it has m-IQ1_S\.gguf \(1\.00 GB\), m-Q2_K"):
        choose(holding(FULL), "Q5_0", memory_bytes=0)
    with pytest.raises(FetchError, match=r"has several Q4_0; it has a/m-Q4_0\.gguf \(0\.00 GB\), b/m"):
        choose(holding({"a/m-Q4_0.gguf": 1, "b/m-Q4_0.gguf": 2}), "Q4_0", memory_bytes=0)


def test_variants_are_models_and_whole() -> None:
    split = {f"s-Q8_0-0000{n}-of-00003.gguf": n for n in (1, 2, 3)}
    variants = gguf_variants(holding({**FULL, **split, "t-00002-of-00002.gguf": 1}).files)
    assert [(one.type, len(one.files)) for one in variants] == [
        ("Q8_0", 3),
        ("IQ1_S", 1),
        ("Q2_K", 1),
        ("Q3_K_M", 1),
        ("Q4_K_M", 1),
        ("Q8_0", 1),
        ("F16", 1),
    ]
    second = choose(holding(split), "s-Q8_0-00002-of-00003.gguf", memory_bytes=0)
    assert [file.size for file in second.files] == [1, 2, 3]


def test_mistrals_own_folder_where_there_is_no_other() -> None:
    own = {"params.json": 1, "tekken.json": 1, "tokenizer.model.v3": 1, "README.md": 1}
    whole = choose(holding({**own, "consolidated.safetensors": 9}), None, memory_bytes=0)
    assert {file.name for file in whole.files} == {*own, "consolidated.safetensors"} - {"README.md"}
    shards = {
        "consolidated-00001-of-00002.safetensors": 5,
        "consolidated-00002-of-00002.safetensors": 5,
        "consolidated.safetensors.index.json": 1,
    }
    sharded = choose(holding({**own, **shards}), None, memory_bytes=0)
    assert {file.name for file in sharded.files} == {*own, *shards} - {"README.md"}
    both = choose(holding({**FOLDER, **own, **shards, "model.safetensors": 9}), None, memory_bytes=0)
    assert not {file.name for file in both.files} & {*shards}


def test_a_folder_of_safetensors() -> None:
    whole = choose(holding({**FOLDER, "model.safetensors": 9}), None, memory_bytes=0)
    assert [file.name for file in whole.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    shards = {
        "model-00001-of-00002.safetensors": 5,
        "model-00002-of-00002.safetensors": 5,
        "model.safetensors.index.json": 1,
        "consolidated.safetensors": 10,
    }
    sharded = choose(holding({**FOLDER, **shards, **FULL}), "safetensors", memory_bytes=0)
    assert {file.name for file in sharded.files} == {
        "config.json",
        "tokenizer.json",
        "README.md",
        *shards,
    } - {"consolidated.safetensors", "README.md"}


@pytest.mark.parametrize(
    ("files", "saying"),
    [
        (FOLDER, "weights as pickles alone (pytorch_model.bin), which can run code"),
        ({"README.md": 1}, "neither GGUF files nor model.safetensors with a config.json"),
        ({"model.safetensors": 1}, "neither GGUF files nor"),
        ({}, "neither GGUF files nor"),
    ],
)
def test_what_is_no_model(files: dict[str, int], saying: str) -> None:
    with pytest.raises(FetchError) as failure:
        choose(holding(files), None, memory_bytes=GB)
    assert saying in failure.value.message
    with pytest.raises(FetchError):
        choose(holding(files), "Q4_0", memory_bytes=GB)
