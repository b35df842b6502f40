"""The section on vector stores in `docs/benchmarks.md`, rendered from `results/retrieval.json`."""

from __future__ import annotations

from typing import Any

from pennyweight.retrieval.citations import MIN_SHARE


def section(report: dict[str, Any]) -> list[str]:
    """A row for each language, and whether both together lose to one of them anywhere."""
    languages: dict[str, Any] = report["languages"]
    rows, lost = [], []
    for language, measured in languages.items():
        score = measured["ndcg"]
        ways = " | ".join(f"{score[way]:.3f}" for way in ("words", "meaning", "hybrid"))
        rows.append(f"| {language} | {measured['questions']:,} | {ways} |")
        if score["hybrid"] < max(score["words"], score["meaning"]):
            lost.append(language)
    verdict = f"missed in {', '.join(lost)}" if lost else "met"
    return [
        "## Vector stores",
        "",
        "nDCG@10 of finding the one of 240 paragraphs that a question of XQuAD (CC-BY-SA-4.0) was",
        f"written about; vectors by {report['encoder']}, an encoder of English. Weights were chosen on",
        "the questions about every second paragraph (`python -m benchmarks.retrieval_weights`), these are",
        "the others (`python -m benchmarks.retrieval`).",
        "",
        "| language | questions | words (BM25) | meaning (vectors) | both, as shipped |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        f"Goal: both together lose to neither: {verdict}.",
        *_citations(languages.get("en", {}).get("cited", ())),
    ]


def _citations(measured: Any) -> list[str]:
    if not measured:
        return []
    rows = [
        f"| {one['share']:.1f} | {one['supported_cited']:.1%} | {one['cited_wrongly']:.1%} |"
        for one in measured
    ]
    return [
        "",
        "Citations: sentences of the passages shown, a third of their words replaced, and as many of other",
        "paragraphs of the same articles, by the share of a sentence's letters that a passage must have",
        f"({MIN_SHARE} is shipped).",
        "",
        "| share | supported sentences cited | citations that are wrong |",
        "|---:|---:|---:|",
        *rows,
    ]
