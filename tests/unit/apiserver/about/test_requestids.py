"""Ids of requests: a client's where it is safe to write down, else the server's own."""

import pytest

from apiserver.about.requestids import RequestIds
from cubernetes.host.web.messages import Request

TRACE = "0af7651916cd43dd8448eb211c80319c"
UUID = "1f0e9c2a-77b1-4000-8000-000000000000"


def id_of(method: str = "POST", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestIds(UUID).id_of(Request(method, "/api/v1/nodes", headers=named))


def test_writes_are_numbered_and_reads_are_not() -> None:
    ids = RequestIds(UUID)
    given = [
        ids.id_of(Request(method, "/"))
        for method in ("GET", "POST", "PUT", "HEAD", "PATCH", "DELETE")
    ]
    assert given == ["", "1f0e9c2a-1", "1f0e9c2a-2", "", "1f0e9c2a-3", "1f0e9c2a-4"]


@pytest.mark.parametrize("given", ["a", "build-4711", "9b.c:d_E", "x" * 64])
def test_a_client_may_bring_an_id_also_for_a_read(given: str) -> None:
    assert id_of(x_request_id=given) == given
    assert id_of("GET", x_request_id=given) == given


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", "a\nb", "a\r\nSet-Cookie: b", '"', "-a", "é", "a\n", "\u0663"]
)
def test_an_id_that_is_not_safe_to_write_down_is_not_taken(given: str) -> None:
    assert id_of(x_request_id=given) == "1f0e9c2a-1"
    assert id_of("GET", x_request_id=given) == ""


def test_a_trace_of_w3c_is_the_id_and_an_id_that_is_given_comes_first() -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    assert id_of(traceparent=parent) == TRACE
    assert id_of(traceparent=parent, x_request_id="mine") == "mine"
    assert id_of(traceparent=f"00-{TRACE.upper()}-b7ad6b7169203331-01") == "1f0e9c2a-1"
    assert id_of(traceparent=f"00-{TRACE}") == "1f0e9c2a-1"
