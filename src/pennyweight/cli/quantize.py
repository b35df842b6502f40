"""`penny quantize`: a model file in fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pennyweight.cli.options import Threads  # noqa: TC001

if TYPE_CHECKING:
    from pennyweight.quantize.importance import Importance
    from pennyweight.quantize.quantize import Report


def quantize(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A GGUF file or a folder of safetensors, best of type F16, BF16 or F32, or a model's name.",
        ),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The GGUF file to write.")],
    kind: Annotated[
        Literal["q4_0", "q4_1", "q8_0", "mixed"],
        typer.Option("--type", help="Type of the weights; mixed gives sensitive ones more bits."),
    ],
    imatrix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="A text file; what it does in the model tells which weights matter. By default a page that "
            "comes with this program; `none`: all weights matter the same, and the model need not run here.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace DST if it exists.")] = False,
    threads: Threads = None,
) -> None:
    """Quantise a model: smaller and faster, for a little quality."""
    from pennyweight.cli.terminal import progress_bars
    from pennyweight.models.local import resolve
    from pennyweight.quantize.quantize import quantize as write

    path = resolve(source)
    text = _text(imatrix, kind)
    with progress_bars() as progress:

        def importance() -> Importance | None:
            if text is None:
                return None
            from pennyweight.quantize.importance import measure

            return measure(
                path, text, progress=lambda done, total: progress("importance", done, total), threads=threads
            )

        report = write(
            path,
            destination,
            kind,
            importance=importance,
            replace=force,
            threads=threads,
            progress=lambda done, total: progress("quantize", done, total),
        )
    _tell(report, source, destination)


def _tell(report: Report, source: str, destination: Path) -> None:
    from pennyweight.cli.terminal import notice

    if report.source_types:
        types = ", ".join(report.source_types)
        notice(f"{source} had lost bits already ({types}); a file of floats makes a better one")
    if report.left_out is not None:
        left_out = report.left_out
        notice(f"{destination.name} has the text part of {source} alone, not its weights for {left_out}")
    notice(
        f"{destination}: {report.num_tensors} tensors, {report.num_bytes / 1e6:,.1f} MB "
        f"instead of {report.source_bytes / 1e6:,.1f}"
    )


def _text(imatrix: str | None, kind: str) -> str | None:
    """What runs through the model; None: nothing does, as eight bits lose too little to be worth the wait."""
    if imatrix == "none" or (imatrix is None and kind == "q8_0"):
        return None
    if imatrix is None:
        from pennyweight.quantize.importance import calibration_text

        return calibration_text()
    return _read(Path(imatrix))


def _read(path: Path) -> str:
    from pennyweight.errors import InvalidRequestError

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path} is not a text in UTF-8 (byte {error.start})") from error
