"""HTML: what a reader would see, block by block, without scripts, styles and markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, BinaryIO, Final

from pennyweight.retrieval.readers.plain import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSEEN: Final = frozenset({"script", "style", "noscript", "template", "svg", "math", "object", "select"})
_PARAGRAPHS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "title",
        "ul",
    ]
)
_LINES: Final = frozenset({"br", "li", "tr", "option", "caption", "figcaption", "legend"})
_CELLS: Final = frozenset({"td", "th"})
_PIECE_CHARS: Final = 2**16


def read(file: BinaryIO) -> Iterator[str]:
    """Blocks become paragraphs, list items and rows lines."""
    text, parser = opened(file), _Seen()
    while piece := text.read(_PIECE_CHARS):
        parser.feed(piece)
        yield from parser.take()
    parser.close()
    yield from parser.take()


class _Seen(HTMLParser):
    """Text between tags, its blanks as a browser shows them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._hidden: list[str] = []
        self._pieces: list[str] = []

    def take(self) -> Iterator[str]:
        """What has come since."""
        pieces, self._pieces = self._pieces, []
        yield from pieces

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._hidden.append(tag)
        self._space(tag)

    def handle_startendtag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self._space(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        self._space(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            blank = data[:1].isspace(), data[-1:].isspace()
            words = " ".join(data.split())
            if words:
                self._pieces.append(f"{' ' * blank[0]}{words}{' ' * blank[1]}")
            elif data:
                self._pieces.append(" ")

    def _space(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._pieces.append("\n\n")
        elif tag in _LINES:
            self._pieces.append("\n")
        elif tag in _CELLS:
            self._pieces.append("\t")
