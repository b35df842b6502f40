"""Names of fine-tuned models that stand for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import ConfigError
from pennyweight.models.aliases import forget_alias, is_kept_here, keep_alias, kept_aliases
from pennyweight.models.cache import models_folder

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "ft:gpt-4o-mini-2024-07-18:acme::x1", "ft:gpt-4o-mini:pennyweight::y2"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_kept_replaced_and_forgotten() -> None:
    assert kept_aliases() == {}
    keep_alias(OLD, "smollm2-135m-instruct")
    keep_alias(OLD, NEW)
    keep_alias("mine", NEW)
    assert kept_aliases() == {OLD: NEW, "mine": NEW}
    assert forget_alias(OLD)
    assert not forget_alias(OLD)
    assert kept_aliases() == {"mine": NEW}


def test_which_are_kept_here() -> None:
    assert is_kept_here(OLD, "smollm2-135m-instruct")
    assert is_kept_here("mine", NEW)
    assert not is_kept_here("mine", "smollm2-135m-instruct")


def test_what_cannot_be_kept() -> None:
    with pytest.raises(ConfigError, match="cannot be another name"):
        keep_alias(OLD, OLD)
    keep_alias(OLD, NEW)
    (models_folder() / "aliases.json").write_text("[]")
    with pytest.raises(ConfigError, match="holds no table of names; remove it"):
        kept_aliases()
