"""Our quantiser beside llama.cpp's: size, KL divergence and perplexity of one float model, on wikitext-2.

Both make files of the same types from the same floats (see `shuffled_model.py` for where those come from),
without and with importance from the same 30,000 characters of text, and every file runs in the same engine:
what differs is the choice of codes and scales alone. The floats run in that engine too and are what is
diverged from. Rows of other types that were recorded before are kept.

    python -m benchmarks.quantize --folder work --llama folder/of/llama.cpp/programs
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.machine import describe_machine
from benchmarks.quality import DEFAULT_MODEL, ROOT, TEXT, WINDOW, Engine, compare, summarise, windows_of
from benchmarks.shuffled_model import write_shuffled
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.quantize.importance import calibration_text
from pennyweight.quantize.importance import measure as measure_inputs
from pennyweight.quantize.quantize import quantize
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from benchmarks.quality import Agreement
    from pennyweight.quantize.importance import Importance
    from pennyweight.quantize.recipe import Kind

RESULTS = ROOT / "benchmarks" / "results" / "quantize.json"
CALIBRATION = TEXT.with_name("wikitext2_valid.txt.gz")
Told = Literal["none", "page", "text"]
_KINDS: tuple[Kind, ...] = ("q4_0", "q4_1", "q8_0", "mixed")
_THEIR_TYPES = {"q4_0": "Q4_0", "q4_1": "Q4_1", "q8_0": "Q8_0", "mixed": "Q4_K_M"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One quantised file. `seconds` are of processor time, without those of finding out what matters.

    `importance`: from nothing, from the page that comes with `penny quantize`, or from the calibration text.
    """

    maker: str
    kind: str
    importance: Told
    path: Path
    seconds: float


class Workshop:
    """Makes the files."""

    def __init__(
        self, folder: Path, source: Path, text: str, *, llama: Path | None, imatrix: Path | None
    ) -> None:
        self.folder, self.source, self.text = folder, source, text
        self.llama, self.imatrix = llama, imatrix
        self._known: dict[str, Importance] = {}

    def _importance(self, told: Told) -> Importance | None:
        if told != "none" and told not in self._known:
            text = self.text if told == "text" else calibration_text()
            self._known[told] = measure_inputs(self.source, text, progress=lambda *_: None)
        return self._known.get(told)

    def ours(self, kind: Kind, *, told: Told) -> Made:
        path = self.folder / f"ours-{kind}-{told}.gguf"
        known = self._importance(told)
        started = time.process_time()
        quantize(
            self.source,
            path,
            kind,
            importance=lambda: known,
            replace=True,
            progress=lambda *_: None,
        )
        return Made(
            maker="pennyweight",
            kind=kind,
            importance=told,
            path=path,
            seconds=time.process_time() - started,
        )

    def theirs(self, kind: Kind, *, told: Told) -> Made:
        assert self.llama is not None
        path = self.folder / f"theirs-{kind}-{told}.gguf"
        options = ["--imatrix", str(self._imatrix_file())] if told == "text" else []
        started = os.times()
        _run(self.llama / "llama-quantize", *options, str(self.source), str(path), _THEIR_TYPES[kind])
        ended = os.times()
        return Made(
            maker="llama.cpp",
            kind=kind,
            importance=told,
            path=path,
            seconds=ended.children_user - started.children_user,
        )

    def _imatrix_file(self) -> Path:
        path, text = self.folder / "imatrix.gguf", self.folder / "calibration.txt"
        if not path.exists():
            assert self.imatrix is not None
            text.write_text(self.text, encoding="utf-8")
            arguments = ["-m", str(self.source), "-f", str(text), "-o", str(path), "-c", str(WINDOW)]
            _run(self.imatrix, *arguments, "--output-frequency", "100000")
        return path


def _run(tool: Path, *arguments: str) -> None:
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{tool.name} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")


def measure(source: Path, files: list[Made], text: str, *, num_tokens: int) -> list[dict[str, Any]]:
    """A row for each file, all over the same windows."""
    loaded = load(source)
    tokenizer = Tokenizer.from_metadata(loaded.metadata)
    vocab_size = loaded.spec.vocab_size
    reference = Engine(loaded.model, vocab_size=vocab_size, threads=0)
    engines = [Engine(load(made.path).model, vocab_size=vocab_size, threads=0) for made in files]
    agreements: list[list[Agreement]] = [[] for _ in files]
    for count, tokens in enumerate(windows_of(tokenizer, text, num_tokens=num_tokens), start=1):
        expected = reference.logits(tokens)
        for engine, own in zip(engines, agreements, strict=True):
            own.append(compare(engine.logits(tokens), expected, tokens))
        print(f"\r{count * WINDOW} tokens", end="", file=sys.stderr, flush=True)
    return [_row(made, own) for made, own in zip(files, agreements, strict=True)]


def _row(made: Made, agreements: list[Agreement]) -> dict[str, Any]:
    row = asdict(made) | {"num_bytes": made.path.stat().st_size} | asdict(summarise(agreements))
    del row["path"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, by type and importance."""
    lines = [
        "| type | maker | importance | MB | KLD | same top | PPL | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['kind']} | {row['maker']} | {row['importance']} "
        f"| {row['num_bytes'] / 1e6:.1f} | {row['kld']:.4f} ± {row['kld_error']:.4f} | {row['same_top']:.1%} "
        f"| {row['ppl']:.3f} | {row['seconds']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _text(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return file.read()


def _recorded(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of an earlier run over the same text, of types that are not measured now."""
    if not options.output.exists():
        return []
    earlier = json.loads(options.output.read_text(encoding="utf-8"))
    if (earlier["model"], earlier["tokens"]) != (options.model, options.tokens):
        return []
    return [row for row in earlier["rows"] if row["kind"] not in options.kinds]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or path of the file floats are made of")
    parser.add_argument("--folder", type=Path, required=True, help="where the files go: 1.5 GB")
    parser.add_argument("--text", type=Path, default=TEXT, help="to measure on: plain text or .gz")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="to find out what matters")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--kinds", nargs="+", default=_KINDS, choices=_KINDS)
    parser.add_argument("--llama", type=Path, help="folder with llama.cpp's programs")
    parser.add_argument("--llama-imatrix", type=Path, help="its llama-imatrix")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    source = options.folder / "floats.gguf"
    if not source.exists():
        write_shuffled(resolve(options.model), source)
    calibration = _text(options.calibration)[:30_000]
    workshop = Workshop(
        options.folder, source, calibration, llama=options.llama, imatrix=options.llama_imatrix
    )
    ways: list[Told] = ["none", "page", "text"]
    files = [workshop.ours(kind, told=told) for kind in options.kinds for told in ways]
    if options.llama is not None:
        ways = ["none", "text"] if options.llama_imatrix is not None else ["none"]
        files += [workshop.theirs(kind, told=told) for kind in options.kinds for told in ways]
    rows = measure(source, files, _text(options.text), num_tokens=options.tokens)
    rows = sorted(rows + _recorded(options), key=lambda row: (row["kind"], row["importance"], row["maker"]))
    result = {"machine": describe_machine(), "model": options.model, "tokens": options.tokens, "rows": rows}
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
