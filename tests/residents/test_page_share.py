"""How a ceiling is divided between models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.models.outline import outline
from pennyweight.residents.page_share import page_share, standing_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_one_model_has_all_that_is_left() -> None:
    assert page_share(1000, program_bytes=100, own_bytes=300, others=[]) == 600


def test_models_that_fit_together_share_equally() -> None:
    shares = [
        page_share(1000, program_bytes=100, own_bytes=own, others=others)
        for own, others in ((300, [100, 200]), (100, [300, 200]), (200, [300, 100]))
    ]
    assert shares == [100, 100, 100]


def test_of_models_that_do_not_fit_together_each_leaves_half() -> None:
    assert page_share(1000, program_bytes=100, own_bytes=300, others=[700]) == 300
    assert page_share(1000, program_bytes=100, own_bytes=700, others=[300]) == 100


def test_a_share_is_never_less_than_nothing() -> None:
    assert page_share(100, program_bytes=100, own_bytes=300, others=[700]) == 0


def test_what_a_model_takes_beside_its_pages(tiny_llama_path: Path) -> None:
    small = outline(tiny_llama_path)
    assert standing_bytes(small, threads=1) > small.weight_bytes
    assert standing_bytes(small, threads=2) > standing_bytes(small, threads=1)
