"""What the packed arithmetic costs in quality: against float32 of the same weights, on wikitext-2.

Both sides read the same windows of text. The float32 side is the NumPy reference with the file's weights
dequantised, so the file's own quantisation is on both sides and only the engine's arithmetic (int8
activations, int8 keys and values, attention in integers) is measured. `--llama` measures llama.cpp's
arithmetic the same way, by its own tool, on the same file. `--adapter` puts an adapter on both sides: beside
the engine's packed weights, and merged into the reference's in float32. The exit code is 1 if a limit is
broken, which those are that hold for int8 keys and values.

    python -m benchmarks.quality --model SmolLM2-135M-Instruct.Q4_1.gguf --text wikitext2_test.txt.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.reference_adapter import read_adapter
from benchmarks.reference_decoder import read_decoder
from pennyweight.kv_format import KvFormat, check_kv_format
from pennyweight.models.adapter.files import AdapterFiles, content_identity
from pennyweight.models.adapter.pack import pack_adapter
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.native import _native
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.native.reference_blocks import Floats

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "quality.json"
TEXT = ROOT.parent / "shared" / "data" / "text" / "wikitext2_test.txt.gz"
DEFAULT_MODEL = "smollm2-135m-instruct"
WINDOW = 512
MAX_KLD = 0.0045  # nats
MIN_SAME_TOP = 0.955
MAX_LN_PPL = 0.003  # 0.3 % of perplexity
_CHUNK = 64  # positions compared at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One window, for each position with a next token: KLD, same likeliest token, nats of the next token."""

    kld: Floats
    same_top: np.ndarray[Any, np.dtype[np.bool_]]
    nll: Floats
    reference_nll: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Means over positions; standard errors over windows, whose positions are not independent.

    `ln_ppl_difference` is the mean of the paired differences of log-probabilities: ln(PPL / PPL of float32).
    """

    positions: int
    kld: float
    kld_error: float
    kld_99: float
    same_top: float
    same_top_error: float
    ln_ppl_difference: float
    ln_ppl_difference_error: float
    ppl: float
    reference_ppl: float


def compare(z_TV: Floats, reference_TV: Floats, tokens: Sequence[int]) -> Agreement:
    """The engine's logits beside the reference's for one window; the last position predicts nothing known."""
    parts = [
        _compare_chunk(z_TV[i : i + _CHUNK], reference_TV[i : i + _CHUNK], tokens[i + 1 : i + 1 + _CHUNK])
        for i in range(0, len(tokens) - 1, _CHUNK)
    ]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in asdict(parts[0])}
    return Agreement(**joined)


def _compare_chunk(z: Floats, reference: Floats, targets: Sequence[int]) -> Agreement:
    z, reference = z[: len(targets)], reference[: len(targets)]
    log_q, log_p = _log_softmax(z), _log_softmax(reference)
    at = np.arange(len(targets))
    return Agreement(
        kld=(np.exp(log_p) * (log_p - log_q)).sum(axis=-1, dtype=np.float64),
        same_top=z.argmax(axis=-1) == reference.argmax(axis=-1),
        nll=-log_q[at, list(targets)],
        reference_nll=-log_p[at, list(targets)],
    )


def _log_softmax(z: Floats) -> Floats:
    shifted = z - z.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return np.asarray(shifted - np.log(total).astype(np.float32))


def summarise(windows: list[Agreement], *, start: int = 0) -> Figures:
    """Over the positions from `start` of every window."""

    def pooled(name: str) -> Floats:
        return np.concatenate([getattr(window, name)[start:] for window in windows]).astype(np.float64)

    def error(values: list[Any]) -> float:
        return float(np.std([v[start:].mean() for v in values], ddof=1) / np.sqrt(len(values)))

    nll, reference_nll, kld = pooled("nll"), pooled("reference_nll"), pooled("kld")
    return Figures(
        positions=len(nll),
        kld=float(kld.mean()),
        kld_error=error([window.kld for window in windows]),
        kld_99=float(np.quantile(kld, 0.99)),
        same_top=float(pooled("same_top").mean()),
        same_top_error=error([window.same_top for window in windows]),
        ln_ppl_difference=float((nll - reference_nll).mean()),
        ln_ppl_difference_error=error([window.nll - window.reference_nll for window in windows]),
        ppl=float(np.exp(nll.mean())),
        reference_ppl=float(np.exp(reference_nll.mean())),
    )


class Engine:
    """The packed decoder, one window at a time."""

    def __init__(
        self,
        model: _native.Model,
        *,
        vocab_size: int,
        threads: int,
        kv_format: KvFormat = "int8",
        adapter: _native.Adapter | None = None,
    ) -> None:
        self.num_pages = WINDOW // _native.PAGE_TOKENS
        self.decoder = _native.Decoder(
            model, num_pages=self.num_pages, num_threads=threads, kv_format=kv_format
        )
        self.vocab_size = vocab_size
        self.adapter = adapter

    def logits(self, tokens: Sequence[int]) -> Floats:
        """`[T, V]`."""
        pages = list(range(self.num_pages))
        row = _native.Row(
            tokens=list(tokens), position=0, pages=pages, logits=_native.Logits.ALL, adapter=self.adapter
        )
        self.decoder.begin([row])
        while not self.decoder.finish(timeout_s=1.0)[1]:
            pass
        return np.frombuffer(self.decoder.logits(0), np.float32).reshape(len(tokens), self.vocab_size)


def windows_of(tokenizer: Tokenizer, text: str, *, num_tokens: int) -> Iterator[list[int]]:
    """Whole windows of the text's tokens, each starting with BOS if the model expects one."""
    tokens = tokenizer.encode(text)
    bos = [tokenizer.bos_token_id] if tokenizer.add_bos and tokenizer.bos_token_id is not None else []
    # As llama.cpp cuts them: windows of the running text, the first token overwritten by BOS.
    for start in range(0, min(num_tokens, len(tokens)) - WINDOW + 1, WINDOW):
        window = tokens[start : start + WINDOW]
        yield bos + window[len(bos) :]


def measure(
    path: Path,
    text: str,
    *,
    num_tokens: int,
    threads: int,
    kv_format: KvFormat = "int8",
    adapter: AdapterFiles | None = None,
) -> dict[str, Any]:
    """All figures of the engine on one file."""
    loaded = load(path, kv_format=kv_format)
    tokenizer = Tokenizer.from_metadata(loaded.metadata)
    targets = loaded.adapter_targets
    engine = Engine(
        loaded.model,
        vocab_size=loaded.spec.vocab_size,
        threads=threads,
        kv_format=kv_format,
        adapter=pack_adapter(adapter, targets, loaded.model) if adapter else None,
    )
    merged = read_adapter(adapter, targets) if adapter else None
    reference = ReferenceDecoder(*read_decoder(path), mode="float32", adapter=merged)
    windows: list[Agreement] = []
    for tokens in windows_of(tokenizer, text, num_tokens=num_tokens):
        windows.append(compare(engine.logits(tokens), reference.logits(tokens), tokens))
        if len(windows) > 1:
            _report(len(windows), summarise(windows))
    if len(windows) < 2:
        raise SystemExit(f"quality needs at least {2 * WINDOW} tokens of text")
    return {
        "model": path.name,
        "content_hash": loaded.content_hash,
        "kv_cache_dtype": kv_format,
        "adapter": content_identity(adapter) if adapter else None,
        "target": _native.active_target(),
        "tokens": len(windows) * WINDOW,
        "window": WINDOW,
        "all_positions": asdict(summarise(windows)),
        "second_half": asdict(summarise(windows, start=WINDOW // 2)),
    }


def _report(count: int, figures: Figures) -> None:
    print(
        f"\r{count * WINDOW} tokens: KLD {figures.kld:.5f} ± {figures.kld_error:.5f}, "
        f"same top {figures.same_top:.2%}, ln PPL {figures.ln_ppl_difference:+.5f} "
        f"± {figures.ln_ppl_difference_error:.5f}",
        end="",
        file=sys.stderr,
        flush=True,
    )


def within_limits(figures: dict[str, Any]) -> bool:
    """The gate, on all positions."""
    return bool(
        figures["kld"] <= MAX_KLD
        and figures["same_top"] >= MIN_SAME_TOP
        and figures["ln_ppl_difference"] <= MAX_LN_PPL
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or path of a GGUF file")
    parser.add_argument("--text", type=Path, default=TEXT, help="plain text or .gz")
    parser.add_argument("--tokens", type=int, default=110_000)
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0: all that help")
    parser.add_argument("--kv-cache-dtype", default="int8", choices=get_args(KvFormat))
    parser.add_argument("--adapter", type=Path, help="a folder that PEFT saved; give --output too")
    parser.add_argument("--llama", type=Path, help="folder with llama.cpp's programs, to measure it too")
    parser.add_argument(
        "--llama-only", action="store_true", help="add llama.cpp to what is recorded of the same file"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    opened = gzip.open if options.text.suffix == ".gz" else open
    with opened(options.text, "rt", encoding="utf-8") as file:
        text = file.read()
    path = resolve(options.model)
    if options.llama_only:
        result = json.loads(options.output.read_text(encoding="utf-8"))
    else:
        result = measure(
            path,
            text,
            num_tokens=options.tokens,
            threads=options.threads,
            kv_format=check_kv_format(options.kv_cache_dtype),
            adapter=AdapterFiles.of(options.adapter) if options.adapter else None,
        )
        result |= {"within_limits": within_limits(result["all_positions"]), "machine": describe_machine()}
        result["limits"] = {"kld": MAX_KLD, "same_top": MIN_SAME_TOP, "ln_ppl_difference": MAX_LN_PPL}
    if options.llama is not None:
        from benchmarks.quality_llamacpp import measure_llama

        chunks = result["tokens"] // WINDOW
        result["llama_cpp_second_half"] = measure_llama(
            options.llama, path, text, chunks=chunks, window=WINDOW
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print("\n" + json.dumps(result, indent=2))
    return 0 if result["within_limits"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
