"""Fixtures every part shares: the folder of shared data, and one tiny model of each architecture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.models.tiny import write_tiny_gemma, write_tiny_llama

# A busy machine makes examples slow, which says nothing about them.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of collected test data; tests that need it are skipped where it is not."""
    root = Path(os.environ.get("PENNYWEIGHT_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"the shared test data is not at {root}; set PENNYWEIGHT_SHARED")
    return root / "data"


@pytest.fixture(scope="session")
def tiny_llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama, Q4_0 with a Q8_0 embedding, byte-level BPE."""
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny-llama.gguf")


@pytest.fixture(scope="session")
def tiny_gemma_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny gemma3 of mixed types, SentencePiece style."""
    return write_tiny_gemma(tmp_path_factory.mktemp("tiny") / "tiny-gemma.gguf")
