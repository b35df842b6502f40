"""Every format is read; hostile files end in a sentence about them and harm nothing but their process."""

from __future__ import annotations

import os
import tempfile
import zlib
from typing import Any

import pytest

from pennyweight.retrieval import extraction, extraction_process
from pennyweight.retrieval.document import DocumentError
from pennyweight.retrieval.extraction import extract
from tests.retrieval.documents import WORD, archive, docx, endless_pdf, pdf


def text_of(name: str, content: bytes, **options: Any) -> str:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return extract(name, file, **options)


HTML = b"""<!DOCTYPE html><html><head><title>A title</title><style>p { color: red }</style></head>
<body><script>alert("no")</script><h1>Head&shy;ing &amp; more</h1><p>One <b>bold</b>
word.<p>Two<br>lines<ul><li>first<li>second</ul><table><tr><td>a<td>b</table></body></html>"""


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", b"plain text\r\nof two lines", "plain text\nof two lines"),
        ("a.md", "# Ü\n\ntext".encode(), "# Ü\n\ntext"),
        ("a", b"no extension", "no extension"),
        ("a.py", b"def f():\n\treturn 1\n", "def f():\n\treturn 1"),
        ("a.txt", "\ufeffmarked".encode(), "marked"),
        ("a.txt", "sixteen bits".encode("utf-16"), "sixteen bits"),
        ("a.txt", "caf\u00e9 \u2013 old".encode("cp1252"), "caf\u00e9 \u2013 old"),
        ("a.txt", b"record\x1eseparator \x0c form feed", "recordseparator  form feed"),
        ("a.json", b'{"a": {"b": [1, "x"], "c": null}, "d": true}', "a.b: 1\na.b: x\nd: true"),
        ("a.json", b'[{"q": "1"}, {"q": "2"}]', "q: 1\n\nq: 2"),
        ("a.jsonl", b'{"q": "1"}\n\n{"q": "2"}\n', "q: 1\n\nq: 2"),
        ("a.csv", b'name,age\n"Li, Jo",7\nAnn,\n', "name: Li, Jo; age: 7\n\nname: Ann"),
        ("a.tsv", b"name\tage\nJo\t7\n", "name: Jo; age: 7"),
        ("a.csv", b"only,names\n", "only, names"),
        ("a.docx", docx("First &amp; second.", "Third."), "First & second.\n\nThird."),
        ("unnamed", docx("By its content."), "By its content."),
        ("a.pdf", pdf("Page one.", "Page two."), "Page one.\n\nPage two."),
        ("misnamed.txt", pdf("Page one."), "Page one."),
    ],
)
def test_what_is_read(name: str, content: bytes, wanted: str) -> None:
    assert text_of(name, content).strip() == wanted


def test_html_as_it_is_seen() -> None:
    lines = [line.strip() for line in text_of("a.html", HTML).splitlines() if line.strip()]
    assert lines == [
        "A title",
        "Head\u00ading & more",
        "One bold word.",
        "Two",
        "lines",
        "first",
        "second",
        "a\tb",
    ]
    assert text_of("unnamed", HTML).strip() == text_of("a.html", HTML).strip()


ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BILLION = (
    f'<!DOCTYPE x [<!ENTITY a0 "ha">{ENTITIES}]><w:document xmlns:w="{WORD}"><w:t>&a9;</w:t></w:document>'
)
DEEP = f'<w:document xmlns:w="{WORD}">' + "<w:p>" * 100_000


def _lying_zip() -> bytes:
    """The archive says that its document is small."""
    content = docx(*(["x" * 1000] * 100))
    return content.replace(b"word/document.xml", b"word/document.xmx", 1)


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n" + os.urandom(99), "unsupported_file", "a picture"),
        ("a.txt", os.urandom(9999) + b"\0", "unsupported_file", "no text"),
        ("a.txt", bytes(range(1, 32)) * 99, "unsupported_file", "control characters"),
        ("a.doc", b"\xd0\xcf\x11\xe0" + b"x" * 99, "unsupported_file", "an old office format"),
        ("a.xlsx", archive({"xl/workbook.xml": "<x/>"}), "unsupported_file", "another office format"),
        ("a.pdf", b"not at all", "invalid_file", "named like PDF"),
        ("a.docx", b"not at all", "invalid_file", "named like DOCX"),
        ("a.txt", b" \n \n", "invalid_file", "no text in it"),
        ("a.pdf", pdf(""), "invalid_file", "no text in it"),
        ("a.json", b'{"a": ', "invalid_file", "not valid JSON"),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, "invalid_file", "nested too deeply"),
        ("a.jsonl", b'{"a": 1}\n{"b": \n', "invalid_file", "Line 2 is not valid JSON"),
        ("a.csv", b'a,b\n"' + b"x" * 200_000, "invalid_file", "not valid CSV"),
        ("a.docx", archive({"word/other.xml": "<x/>"}), "invalid_file", "no word/document.xml"),
        ("a.docx", docx("x" * 9999)[:-200], "invalid_file", "damaged"),
        ("a.docx", _lying_zip(), "invalid_file", "damaged"),
        ("a.docx", docx(xml="<w:document>"), "invalid_file", "damaged"),
        ("a.docx", docx(xml=BILLION), "invalid_file", "declares entities"),
        ("a.docx", docx(xml=DEEP), "invalid_file", "nested deeper than 500"),
        ("a.pdf", b"%PDF-1.7\n" + os.urandom(9999), "invalid_file", "damaged"),
        ("a.pdf", endless_pdf(), "invalid_file", "damaged|no text"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, content: bytes, code: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        text_of(name, content)
    assert caught.value.code == code


def test_what_unpacks_to_too_much() -> None:
    """300 MB of XML in 300 KB, and 40 MB of text in 40 KB."""
    for piece, message in (
        (f"<w:x>{' ' * 1000}</w:x>", "unpacks to more"),
        (f"<w:t>{'x' * 1000}</w:t>", "split it"),
    ):
        xml = f'<w:document xmlns:w="{WORD}">{piece * (300_000 if " " * 9 in piece else 40_000)}</w:document>'
        content = docx(xml=xml)
        assert len(content) < 2**20
        with pytest.raises(DocumentError, match=message):
            text_of("a.docx", content)


def test_a_pdf_whose_stream_is_a_bomb() -> None:
    stream = zlib.compress(b"BT (x) Tj ET " * 40_000_000, 9)
    bomb = pdf("x").replace(
        b"<< /Length 32 >>\nstream\nBT /F1 12 Tf 72 720 Td (x) Tj ET\nendstream",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
    )
    assert len(bomb) < 2**22
    with pytest.raises(DocumentError, match=r"damaged|memory|time"):
        text_of("a.pdf", bomb)


def _limited(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """The child runs `program` instead of reading."""
    head = "import sys; sys.argv = ['', 'x']\nfrom pennyweight.retrieval import extraction_process as p\n"
    popen = extraction.subprocess.Popen

    def other(command: list[str], **options: Any) -> Any:
        return popen([command[0], "-P", "-c", head + program], **options)

    monkeypatch.setattr(extraction.subprocess, "Popen", other)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("p.MAX_MEMORY_BYTES = 2**28; p._write = lambda *_: bytearray(2**29); p.main()", "256 MiB of memory"),
        ("p.MAX_CPU_S = 1; p._limit()\nwhile True: pass", "processor time"),
        ("import os; os.abort()", "its reader ended with -6"),
        (
            "p.MAX_TEXT_BYTES = 0; p._write = lambda n, f, o: o.write(bytes(2**20)); p.main()",
            "damaged|reader",
        ),
        ("p._write = lambda *_: open('/proc/self/environ').read() and 1 / 0; p.main()", "ZeroDivisionError"),
    ],
)
def test_limits_hold_whatever_the_reader_does(
    program: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limited(monkeypatch, program)
    with pytest.raises(DocumentError, match=message):
        text_of("x", b"x")


def test_a_reader_that_does_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    _limited(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(extraction, "MAX_WALL_S", 0.1)
    monkeypatch.setattr(extraction, "_LOOK_S", 0.1)
    with pytest.raises(DocumentError, match="longer than"):
        text_of("x", b"x")


def test_whoever_waits_can_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class GoneError(Exception):
        pass

    def keep_on() -> None:
        raise GoneError

    _limited(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(extraction, "_LOOK_S", 0.1)
    with pytest.raises(GoneError):
        text_of("x", b"x", keep_on=keep_on)


def test_the_process_has_nothing_of_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENNYWEIGHT_API_KEY", "sk-secret")
    program = "import os; p._write = lambda n, f, o: o.write(' '.join(os.environ).encode()); p.main()"
    _limited(monkeypatch, program)
    assert "PENNYWEIGHT_API_KEY" not in text_of("x", b"x").split()
    assert extraction_process.SEPARATOR.decode() not in text_of("x", b"x")
