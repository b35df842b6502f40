"""`penny quantize`: a model file in fewer bits."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import Annotated, Literal

import typer

from pennyweight.cli.options import Threads  # noqa: TC001


def quantize(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="A GGUF file, best of type F16, BF16 or F32, or a model's name."),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The GGUF file to write.")],
    kind: Annotated[
        Literal["q4_0", "q4_1", "q8_0", "mixed"],
        typer.Option("--type", help="Type of the weights; mixed gives sensitive ones more bits."),
    ],
    imatrix: Annotated[
        Path | None,
        typer.Option(
            metavar="TEXT", help="A text file; what it does in the model tells which weights matter."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace DST if it exists.")] = False,
    threads: Threads = None,
) -> None:
    """Quantise a model: smaller and faster, for a little quality."""
    from pennyweight.cli.terminal import notice, progress_bars
    from pennyweight.models.local import resolve
    from pennyweight.quantize.quantize import quantize as write

    with progress_bars() as progress:
        report = write(
            resolve(source),
            destination,
            kind,
            text=None if imatrix is None else _read(imatrix),
            replace=force,
            threads=threads,
            progress=progress,
        )
    if report.source_types:
        types = ", ".join(report.source_types)
        notice(f"{source} had lost bits already ({types}); a file of floats makes a better one")
    notice(
        f"{destination}: {report.num_tensors} tensors, {report.num_bytes / 1e6:,.1f} MB "
        f"instead of {report.source_bytes / 1e6:,.1f}"
    )


def _read(path: Path) -> str:
    from pennyweight.errors import InvalidRequestError

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path} is not a text in UTF-8 (byte {error.start})") from error
