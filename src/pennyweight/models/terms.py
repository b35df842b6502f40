"""Licence terms as plain text, to be read in a terminal before they are accepted."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

from pennyweight.errors import FetchError
from pennyweight.models.fetch_pypi import open_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.models.catalog import LicenceTerms

_MAX_BYTES: Final = 1 << 20
_BLOCKS: Final = frozenset({"p", "div", "li", "ul", "ol", "br", "tr", "h1", "h2", "h3", "h4", "section"})
_HIDDEN: Final = frozenset({"script", "style", "nav", "button"})


def terms_text(name: str, url: str, terms: LicenceTerms, *, work: Path) -> str:
    """The texts of the licence `name`, one after the other, and its address. Raises FetchError."""
    texts = []
    with open_wheel(terms.wheel, work=work, report=lambda _: None) as open_member:
        for member in terms.members:
            with open_member(member) as stream:
                data = stream.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise FetchError(f"the terms {member} are larger than {_MAX_BYTES} bytes")
            text = data.decode(errors="replace")
            texts.append(html_text(text) if member.endswith(".html") else text.strip())
    return "\n\n".join([*texts, f"{name}: {url}"])


def html_text(document: str) -> str:
    """The words of a page: of its `<article>` if it has one, so without menus and footers."""
    reader = _TextReader(article_only="<article" in document)
    reader.feed(document)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).splitlines())
    return "\n".join(line for line in lines if line)


class _TextReader(HTMLParser):
    def __init__(self, *, article_only: bool) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._outside = 1 if article_only else 0
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "article":
            self._outside -= 1
        elif tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._outside += 1
        elif tag in _HIDDEN:
            self._hidden = max(self._hidden - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._outside <= 0 and not self._hidden:
            self.pieces.append(data)
