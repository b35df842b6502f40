"""What JSON schemas are enforced: every schema of two collections compiled or refused, and the former tested.

For a compiled schema random answers (uniformly random tokens under the masks) are validated with
`jsonschema`, formats included; the collection's invalid instances must be unreachable, its valid ones are
counted if they can be reached in canonical spelling, keys in the schema's order. Any other outcome is a
violation and the exit code 1. Runs in slices and resumes:

    python -m benchmarks.schema_support --seconds 240 --details details.jsonl
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.schema_trial import SchemaTrial, Verdict, byte_tokenizer
from pennyweight.text.grammar.compiler import GrammarCompiler

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results" / "schema_support.json"
COLLECTIONS = {
    "json-schema-suite": "json-schema-suite/tests.jsonl.gz",
    "jsonschemabench": "jsonschemabench/maskbench.jsonl.gz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One schema and its instances."""

    id: str
    schema: Any
    draft: str | None
    tests: list[dict[str, Any]]


def cases(data: Path, collection: str) -> Iterator[Case]:
    """The schemas of one collection, in the file's order."""
    with gzip.open(data / COLLECTIONS[collection], "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            name = row.get("id") or f"{row['draft']}/{row['file']}: {row['description']}"
            yield Case(
                id=f"{number} {name}", schema=row["schema"], draft=row.get("draft"), tests=row["tests"]
            )


def run(data: Path, details: Path, *, seconds: float) -> bool:
    """Try the schemas `details` does not hold yet, until `seconds` have passed. True when all are done."""
    done = {(row["collection"], row["id"]) for row in read(details)}
    tokenizer = byte_tokenizer()
    compiler = GrammarCompiler(tokenizer)
    until = time.monotonic() + seconds
    with details.open("a", encoding="utf-8") as output:
        for collection in COLLECTIONS:
            for case in cases(data, collection):
                if (collection, case.id) in done:
                    continue
                if time.monotonic() > until:
                    return False
                trial = SchemaTrial(compiler, tokenizer, case.schema, draft=case.draft, seed=case.id)
                row = {"collection": collection, "id": case.id, **asdict(trial.run(case.tests))}
                output.write(json.dumps(row) + "\n")
    return True


def read(details: Path) -> list[dict[str, Any]]:
    if not details.exists():
        return []
    return [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]


@dataclass(slots=True)
class Summary:
    """Counts over one collection."""

    schemas: int = 0
    compiled: int = 0
    samples: int = 0
    failed: int = 0
    invalid: int = 0
    valid: int = 0
    valid_reached: int = 0
    violations: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, identity: str, verdict: Verdict) -> None:
        self.schemas += 1
        self.compiled += verdict.refused is None
        self.samples += verdict.samples
        self.failed += bool(verdict.failed)
        self.invalid += verdict.invalid
        self.valid += verdict.valid
        self.valid_reached += verdict.valid_reached
        self.violations += [f"{identity}: {text}" for text in verdict.violations]
        if verdict.refused is not None:
            self.refused[verdict.refused] += 1


def summarise(details: Path) -> dict[str, Summary]:
    summaries = {collection: Summary() for collection in COLLECTIONS}
    fields = set(Verdict.__dataclass_fields__)
    for row in read(details):
        verdict = Verdict(**{key: value for key, value in row.items() if key in fields})
        summaries[row["collection"]].add(row["id"], verdict)
    return summaries


def _row(summary: Summary) -> dict[str, Any]:
    return {**asdict(summary), "refused": dict(summary.refused.most_common())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument(
        "--details", type=Path, required=True, help="a line per schema; extended if it exists"
    )
    parser.add_argument("--seconds", type=float, default=240)
    arguments = parser.parse_args()
    finished = run(arguments.data, arguments.details, seconds=arguments.seconds)
    summaries = summarise(arguments.details)
    violations = [text for summary in summaries.values() for text in summary.violations]
    for collection, summary in summaries.items():
        print(f"{collection}: {summary.schemas} schemas, {summary.compiled} compiled")
    print("\n".join(violations) or "no violations")
    if finished:
        rows = {
            name: {**asdict(s), "refused": dict(s.refused.most_common())} for name, s in summaries.items()
        }
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if violations else 0 if finished else 2


if __name__ == "__main__":
    sys.exit(main())
