"""Links of pages: those to the root get a prefix, however the page is cut into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.proxying.pages import TAG_BYTES_MAX, Rewriter

ROOT = "/api/v1/x/proxy"
PAGE = b"""<!doctype html><html><head><link rel=x href="/a.css">
<base href='/'><title><a href="/t"></title>
<script src=/s.js>let a = '<img src="/kept.png">'; if (1 < 2) {}</script><style>a{}</style></head>
<body><a HREF = "/b?q=/c">b</a> 1 < 2 <img src="c.png"><img src="//other/d.png">
<form action="https://other/e"></form><a href="/api/v1/x/proxy/f">f</a>
<p title="/g">/h</p><script>end"""
WANTED = (
    PAGE.replace(b'"/a.css', b'"/api/v1/x/proxy/a.css')
    .replace(b"'/'", b"'/api/v1/x/proxy/'")
    .replace(b"=/s.js", b"=/api/v1/x/proxy/s.js")
    .replace(b'"/b?', b'"/api/v1/x/proxy/b?')
)


def through(pieces: list[bytes]) -> bytes:
    rewriter = Rewriter(ROOT)
    return b"".join([*(rewriter.feed(piece) for piece in pieces), rewriter.finish()])


def test_links_to_the_root_lead_below_the_prefix_and_nothing_else_is_changed() -> None:
    assert through([PAGE]) == WANTED


@given(st.lists(st.integers(0, len(PAGE)), max_size=12))
def test_how_a_page_is_cut_changes_nothing(cuts: list[int]) -> None:
    ends = sorted({0, *cuts, len(PAGE)})
    assert through([PAGE[a:b] for a, b in pairwise(ends)]) == WANTED


@given(st.lists(st.binary(max_size=30)))
def test_what_has_no_links_passes_as_it_is(pieces: list[bytes]) -> None:
    assert through([piece.replace(b"=", b"") for piece in pieces]) == b"".join(pieces).replace(
        b"=", b""
    )


def test_a_tag_without_an_end_is_not_waited_for() -> None:
    rewriter = Rewriter(ROOT)
    long = b"<a " + b"x" * TAG_BYTES_MAX
    assert rewriter.feed(long) == long
    assert rewriter.feed(b"y") == b"y"


def test_text_behind_a_tag_is_not_held_back() -> None:
    rewriter = Rewriter(ROOT)
    for piece, told in (
        (b"</a> text", b"</a> text"),
        (b"1 < 2 > 1", b"1 < 2 > 1"),
        (b"<script>if (1 <", b"<script>if (1 "),
        (b" 22222222222", b"< 22222222222"),
    ):
        assert rewriter.feed(piece) == told


@pytest.mark.parametrize("size", [256 * 1024, 4096, 1])
@pytest.mark.parametrize("text", [b"<" + b"x" * (1 << 18), b"<a " * 87_382, b"<a x<a>" * 37_450])
def test_a_page_that_ends_no_tag_takes_no_longer_than_it_is(text: bytes, size: int) -> None:
    """It would take minutes, and more than a test may, if a search began anew at each byte."""
    assert through([text[at : at + size] for at in range(0, len(text), size)]) == text
