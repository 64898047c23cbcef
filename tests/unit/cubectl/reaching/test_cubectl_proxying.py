"""Which requests `cubectl proxy` hands on, and what of them the server hears."""

import re

import pytest

from cubectl.connection.filter import Filter, NoHead, handed_on, head_in
from cubectl.session import Misused
from cubectl.verbs.reaching.proxy import HOSTS, PATHS_REFUSED, forms_in

POD = "/api/v1/namespaces/default/pods/web-0"
USUAL = Filter(
    forms_in(HOSTS, ""), forms_in("^.*", ""), forms_in(PATHS_REFUSED, ""), forms_in("^$", "")
)


def a_head(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("first", "headers", "named"),
    [
        (f"GET {POD} HTTP/1.1", ["Host: localhost:8001"], ""),
        (f"GET {POD} HTTP/1.1", ["Host: [::1]:8001"], ""),
        (f"GET {POD}/log HTTP/1.1", ["Host: 127.0.0.1", "Origin: http://127.0.0.1"], ""),
        (f"GET {POD} HTTP/1.1", ["Host: evil.example"], "--accept-hosts"),
        (f"GET {POD} HTTP/1.1", ["Host: localhost.evil.example:8001"], "--accept-hosts"),
        (f"GET {POD} HTTP/1.1", [], "--accept-hosts"),
        (f"GET {POD}/exec?command=ls HTTP/1.1", ["Host: localhost"], "--reject-paths"),
        (f"GET {POD}/%65xec HTTP/1.1", ["Host: localhost"], "--reject-paths"),
        (f"POST {POD}/attach HTTP/1.1", ["Host: localhost"], "--reject-paths"),
        (
            f"GET {POD} HTTP/1.1",
            ["Host: localhost", "Origin: https://evil.example"],
            "another site",
        ),
        (f"GET {POD} HTTP/1.1", ["Host: localhost", "Origin: null"], "another site"),
    ],
)
def test_hosts_paths_and_pages_are_looked_at(first: str, headers: list[str], named: str) -> None:
    said = USUAL.refusal(head_in(a_head(first, *headers)))
    assert (named in said, bool(said)) == (True, bool(named)), said


def test_a_method_can_be_refused() -> None:
    everything = (re.compile(""),)
    reads = Filter(everything, everything, (), forms_in("^(POST|PUT|PATCH|DELETE)$", ""))
    assert reads.refusal(head_in(a_head("DELETE /api HTTP/1.1"))) != ""
    assert reads.refusal(head_in(a_head("GET /api HTTP/1.1"))) == ""


def test_a_form_that_is_none_is_told() -> None:
    with pytest.raises(Misused, match=r"--accept-hosts: .*position 0"):
        forms_in("(", "--accept-hosts")


def test_the_server_hears_one_request_from_us_and_nothing_of_the_connection() -> None:
    head = head_in(
        a_head(
            f"GET {POD}?a=b HTTP/1.1",
            "Host: localhost:8001",
            "Authorization: Bearer a-page",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Upgrade: h2c",
            "Accept: a/b",
            "Accept: c/d",
        )
    )
    assert handed_on(head, "/base", "10.0.0.1:6443", [("Authorization", "Bearer us")]) == a_head(
        f"GET /base{POD}?a=b HTTP/1.1",
        "host: 10.0.0.1:6443",
        "Authorization: Bearer us",
        "accept: a/b",
        "accept: c/d",
        "connection: close",
    )


def test_a_switch_of_protocols_is_handed_on() -> None:
    head = head_in(a_head("GET /x HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"))
    assert handed_on(head, "", "h", []) == a_head(
        "GET /x HTTP/1.1", "host: h", "upgrade: websocket", "connection: upgrade"
    )


@pytest.mark.parametrize(
    "text",
    [
        a_head("GET /x"),
        a_head("GET http://elsewhere/ HTTP/1.1"),
        a_head("GET /x HTTP/2.0"),
        a_head("GET /x y HTTP/1.1"),
        a_head("GET /x HTTP/1.1", "Host : h"),
        a_head("GET /x HTTP/1.1", " folded"),
        a_head("GET /x HTTP/1.1", "A: b\nConnection: keep-alive"),
    ],
)
def test_what_is_no_head_is_refused(text: bytes) -> None:
    with pytest.raises(NoHead):
        head_in(text)
