"""The same measure of llama.cpp's arithmetic: its own tool, the same weights in float32, the same windows.

`llama-quantize` writes the file's weights out as F32, `llama-perplexity` stores that model's distributions
and compares the packed file's with them. It counts the second half of each window only; `quality.json` has
our figures for that half too.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

_FIGURES = {
    "kld": r"Mean\s+KLD:\s*([-\d.]+)\s*±\s*([\d.]+)",
    "ln_ppl_difference": r"Mean ln\(PPL\(Q\)/PPL\(base\)\)\s*:\s*([-\d.]+)\s*±\s*([\d.]+)",
    "same_top": r"Same top p:\s*([\d.]+)\s*±\s*([\d.]+)\s*%",
    "ppl": r"Mean PPL\(Q\)\s*:\s*([\d.]+)\s*±\s*([\d.]+)",
    "reference_ppl": r"Mean PPL\(base\)\s*:\s*([\d.]+)\s*±\s*([\d.]+)",
}


def measure_llama(tools: Path, model: Path, text: str, *, chunks: int, window: int) -> dict[str, float]:
    """Figures and their errors by the names of `quality.Figures`.

    Stores half of each window's distributions in a temporary file: 25 MB a window for 49 152 tokens.
    """
    with tempfile.TemporaryDirectory(prefix="pennyweight-quality-") as folder:
        float_model, base = Path(folder, "float32.gguf"), Path(folder, "base.dat")
        plain = Path(folder, "text.txt")
        plain.write_text(text, encoding="utf-8")
        _run(tools / "llama-quantize", "--allow-requantize", str(model), str(float_model), "F32")
        common = ["-c", str(window), "-b", str(window), "--chunks", str(chunks), "-f", str(plain)]
        base_options = ["--kl-divergence-base", str(base)]
        _run(tools / "llama-perplexity", "-m", str(float_model), *common, *base_options)
        printed = _run(
            tools / "llama-perplexity", "-m", str(model), *common, *base_options, "--kl-divergence"
        )
    return _parse(printed)


def _parse(printed: str) -> dict[str, float]:
    figures = {}
    for name, pattern in _FIGURES.items():
        match = re.search(pattern, printed)
        if match is None:
            raise RuntimeError(f"llama-perplexity printed no {name}:\n{printed[-3000:]}")
        scale = 0.01 if name == "same_top" else 1.0
        figures[name], figures[name + "_error"] = (float(value) * scale for value in match.groups())
    return figures


def _run(tool: Path, *arguments: str) -> str:
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{tool.name} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout + done.stderr
