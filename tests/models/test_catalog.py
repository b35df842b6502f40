"""The catalog is complete and consistent, and true of the real files where they are installed."""

from __future__ import annotations

import re

import pytest

from pennyweight.models.bert_folder import inspect_folder
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CATALOG, DEFAULT_MODEL, CatalogEntry, PyPIWheels, entry_of_file
from pennyweight.models.fetch import is_intact
from pennyweight.models.gguf import GGUFFile

ENTRIES = list(CATALOG.values())
PINNED = re.compile(r"\d+(\.\d+)+")


def test_the_default_is_free_and_needs_no_terms() -> None:
    entry = CATALOG[DEFAULT_MODEL]
    assert entry.licence.name == "Apache-2.0"
    assert entry.licence.terms is None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entries_are_complete(entry: CatalogEntry) -> None:
    assert CATALOG[entry.name] is entry
    assert entry_of_file(entry.file_name) is entry
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
    if entry.companions:
        assert entry.file_name == f"{entry.name}/model.safetensors"
        assert all(re.fullmatch("[0-9a-f]{64}", item.sha256) for item in entry.companions)
    else:
        assert entry.file_name.endswith(".gguf")
        assert "/" not in entry.file_name
    assert entry.licence.url.startswith("https://")
    assert entry.sampling.logit_bias == {}
    for source in entry.sources:
        if isinstance(source, PyPIWheels):
            assert all(PINNED.fullmatch(part.wheel.version) for part in source.parts)


def test_gemma_is_in_four_parts_under_terms() -> None:
    entry = CATALOG["gemma-3-270m"]
    source = entry.sources[0]
    assert isinstance(source, PyPIWheels)
    assert [part.member[-7:] for part in source.parts] == [".part00", ".part01", ".part02", ".part03"]
    assert entry.licence.terms is not None
    assert len(entry.licence.terms.members) == 2


@pytest.mark.model
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_installed_files_are_what_the_catalog_says(entry: CatalogEntry) -> None:
    path = models_folder() / entry.file_name
    if not path.exists():
        pytest.skip(f"{entry.name} is not installed; `penny pull {entry.name}` gets it")
    assert is_intact(path, entry)
    if entry.kind == "encoder":
        assert inspect_folder(path.parent)[0].window == entry.context_length
        return
    with GGUFFile.open(path) as file:
        architecture = file.metadata["general.architecture"]
        assert file.metadata[f"{architecture}.context_length"] == entry.context_length
