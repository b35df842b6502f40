"""Pennyweight: a small language model service you own.

`Engine` and `Encoder` are the Python interface, `penny` the command line, `penny serve` OpenAI's API over
HTTP. Importing this package costs nothing: what it names is imported on first use, so that `penny --help`
starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.api import Answer, Engine
    from pennyweight.encoder import Encoder
    from pennyweight.errors import PennyweightError

    __version__: str

__all__ = ["Answer", "Encoder", "Engine", "PennyweightError", "__version__"]

_HOMES = {
    "Answer": "pennyweight.api",
    "Encoder": "pennyweight.encoder",
    "Engine": "pennyweight.api",
    "PennyweightError": "pennyweight.errors",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pennyweight")
        except PackageNotFoundError:  # run from a source tree that was never installed
            return "0+source"
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pennyweight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
