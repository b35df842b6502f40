"""Pages of terms as plain text."""

from __future__ import annotations

import pytest

from pennyweight.models.terms import html_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>one<p>two", "one\ntwo"),
        ("<ul><li>a <b>b</b> c</li><li>d</li></ul>", "a b c\nd"),
        ("<p>a\n   b</p>", "a\nb"),
        ("<nav>menu</nav><style>p{}</style><script>1<2</script>body", "body"),
        ("menu<article>in &amp; out</article>footer", "in & out"),
        ("menu<article>a<button>press</button></article>x<article>b</article>", "ab"),
        ("", ""),
    ],
)
def test_the_words_of_a_page(page: str, text: str) -> None:
    assert html_text(page) == text
