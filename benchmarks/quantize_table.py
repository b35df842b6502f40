"""The section on the quantiser in `docs/benchmarks.md`, rendered from `results/quantize.json`."""

from __future__ import annotations

from typing import Any, Final

_KNOWN: Final = {
    "none": "nothing",
    "page": "the page that comes with it",
    "text": "the same text",
}


def section(report: dict[str, Any]) -> list[str]:
    """Lines of the section: a row for each file that was made, ours and llama.cpp's of one type together."""
    machine = report["machine"]
    return [
        "## Quantising",
        "",
        f"`penny quantize` beside llama.cpp's quantiser: files made of {report['model']} in floats,",
        f"run by one engine, against the floats over {report['tokens']:,} tokens of wikitext-2;",
        f"beside each figure its standard error. {machine['date']}, on {machine['cores']} cores of",
        f"{machine['processor']};",
        "`python -m benchmarks.quantize` repeats it.",
        "",
        "| type | by | importance from | MB | KL divergence | same top token | ln PPL more | seconds |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        *[_row(row) for row in report["rows"]],
    ]


def _row(row: dict[str, Any]) -> str:
    return (
        f"| {row['kind']} | {row['maker']} | {_KNOWN[row['importance']]} | {row['num_bytes'] / 1e6:.1f} | "
        f"{row['kld']:.4f} ± {row['kld_error']:.4f} | {row['same_top']:.1%} | "
        f"{row['ln_ppl_difference']:+.4f} ± {row['ln_ppl_difference_error']:.4f} | {row['seconds']:.1f} |"
    )
