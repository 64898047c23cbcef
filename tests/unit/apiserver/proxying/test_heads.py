"""Heads that are handed on: what stays behind, what is added, and where a target's places are."""

import pytest

from apiserver.proxying import heads

ROOT = "/api/v1/namespaces/a/services/web:80/proxy"
HOST = "cluster.example:6443"


def asked(*lines: tuple[str, str], is_switched: bool = False) -> dict[str, str]:
    fields = [(name.encode(), value.encode()) for name, value in lines]
    found = heads.asked_fields(fields, "192.0.2.9", f"{ROOT}/x", is_switched=is_switched)
    return {name.lower(): value for name, value in found}


def test_what_is_of_a_connection_or_shows_who_asks_stays_behind() -> None:
    told = asked(
        ("Host", HOST),
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "1"),
        ("Proxy-Authorization", "x"),
        ("Authorization", "Bearer x"),
        ("Impersonate-User", "root"),
        ("X-Remote-User", "root"),
        ("X-Remote-Extra-A", "root"),
        ("Upgrade", "h2c"),
        ("Expect", "100-continue"),
        ("X-Other", "2"),
    )
    assert told == {
        "host": HOST,
        "x-other": "2",
        "x-forwarded-for": "192.0.2.9",
        "x-forwarded-host": HOST,
        "x-forwarded-proto": "https",
        "x-forwarded-uri": f"{ROOT}/x",
    }


def test_a_client_cannot_say_from_where_it_was_asked_but_for_those_before_it() -> None:
    told = asked(("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Uri", "/lie"))
    assert told["x-forwarded-for"] == "198.51.100.1, 192.0.2.9"
    assert told["x-forwarded-uri"] == f"{ROOT}/x"


def test_a_length_beside_chunks_is_left_out_and_a_page_must_be_readable() -> None:
    assert "content-length" not in asked(("Content-Length", "3"), ("Transfer-Encoding", "chunked"))
    assert asked(("Content-Length", "3"))["content-length"] == "3"
    browser = (("Accept", "text/html,*/*"), ("Accept-Encoding", "gzip"))
    assert "accept-encoding" not in asked(*browser)
    assert asked(("Accept", "*/*"), browser[1])["accept-encoding"] == "gzip"


def test_a_switch_is_asked_for_where_the_client_asks_for_one() -> None:
    switch = (("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"))
    assert heads.is_switch([(a.encode(), b.encode()) for a, b in switch])
    assert not heads.is_switch([(b"Upgrade", b"websocket")])
    told = asked(*switch, is_switched=True)
    assert (told["connection"], told["upgrade"]) == ("Upgrade", "websocket")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/", f"{ROOT}/"),
        ("/a/?q=1#f", f"{ROOT}/a/?q=1#f"),
        (f"{ROOT}/a", f"{ROOT}/a"),
        (f"{ROOT}x/a", f"{ROOT}{ROOT}x/a"),
        (f"https://{HOST}/a", f"{ROOT}/a"),
        ("https://other.example/a", "https://other.example/a"),
        ("//other.example/a", "//other.example/a"),
        ("a/b", "a/b"),
        ("../b", "../b"),
        ("?q", "?q"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[", "http://["),
    ],
)
def test_a_place_of_the_target_is_below_its_root(url: str, wanted: str) -> None:
    assert heads.rewritten(url, ROOT, HOST) == wanted


def test_an_answer_keeps_its_fields_and_gives_no_other_site_a_right() -> None:
    fields = [
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Access-Control-Allow-Origin", "*"),
        ("Set-Cookie", "a=1; path=/app; Domain=.example; Secure"),
        ("Set-Cookie", "b=2"),
        ("X-Own", "3"),
    ]
    assert heads.answered_fields(fields, ROOT, HOST) == [
        ("Set-Cookie", f"a=1; Path={ROOT}/app; Secure"),
        ("Set-Cookie", "b=2"),
        ("X-Own", "3"),
    ]


def test_pages_of_this_machine_are_those_of_kubectl_proxy() -> None:
    own = ["http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:80"]
    assert all(heads.is_of_this_machine(one) for one in own)
    foreign = ["", "null", "http://127.0.0.1.example", "https://elsewhere.example", "http://["]
    assert not any(heads.is_of_this_machine(one) for one in foreign)
