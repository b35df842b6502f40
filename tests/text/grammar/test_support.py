"""The page about schemas says what the checker does; a sample of the measured collections holds."""

from __future__ import annotations

import runpy
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from benchmarks.schema_support import COLLECTIONS, cases
from benchmarks.schema_trial import SchemaTrial, byte_tokenizer
from pennyweight.text.grammar.compiler import GrammarCompiler
from tests.house.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

STRIDE = {"json-schema-suite": 11, "jsonschemabench": 199}


def test_page_is_what_the_checker_and_the_figures_say() -> None:
    render = runpy.run_path(str(ROOT / "docs" / "generate_support.py"))["render"]
    assert (ROOT / "docs" / "support.md").read_text(encoding="utf-8") == render(), "run `make docs`"


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_sampled_schemas_are_enforced_or_refused(shared_data: Path, collection: str) -> None:
    tokenizer = byte_tokenizer()
    compiler = GrammarCompiler(tokenizer)
    compiled = 0
    sample = list(islice(cases(shared_data, collection), 3, None, STRIDE[collection]))
    for case in sample:
        trial = SchemaTrial(compiler, tokenizer, case.schema, draft=case.draft, seed=case.id)
        verdict = trial.run(case.tests)
        assert verdict.violations == [], case.id
        compiled += verdict.refused is None
    assert compiled > len(sample) // 3
