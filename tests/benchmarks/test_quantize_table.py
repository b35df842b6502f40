"""The recorded comparison of quantisers as a section of the page on benchmarks."""

from __future__ import annotations

from benchmarks import quantize_table

REPORT = {
    "machine": {"date": "2026-11-22", "cores": 2, "processor": "P"},
    "model": "m",
    "tokens": 4096,
    "rows": [
        {
            "maker": "pennyweight",
            "kind": "q4_0",
            "importance": "page",
            "num_bytes": 91_700_000,
            "kld": 0.15056,
            "kld_error": 0.0077,
            "same_top": 0.775,
            "ln_ppl_difference": -0.043,
            "ln_ppl_difference_error": 0.005,
            "seconds": 12.04,
        }
    ],
}


def test_every_file_is_a_row_with_its_errors() -> None:
    lines = quantize_table.section(REPORT)
    assert lines[-1] == (
        "| q4_0 | pennyweight | the page that comes with it | 91.7 | 0.1506 ± 0.0077 | 77.5% | "
        "-0.0430 ± 0.0050 | 12.0 |"
    )
    assert any("4,096 tokens" in line for line in lines)
