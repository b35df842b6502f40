"""One BLAS thread for the reference, and a fixture that forces an instruction set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# NumPy reads this when it is imported: many small products are slower on several threads than on one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything made in the test computes on the instruction set given as parameter."""
    from pennyweight.native import _native

    before = _native.active_target()
    _native.use_target(request.param)
    yield request.param
    _native.use_target(before)
