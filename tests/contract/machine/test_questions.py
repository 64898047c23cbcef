"""What `cuberoot` asks of programs over HTTP, against a server of ours."""

import asyncio

from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import RoutedSite
from cuberoot.host.probe import answer_of

LONG = b"x" * 200_000


async def told(_request: Request) -> Response:
    return Response(200, LONG)


async def test_a_long_answer_is_read_to_its_end() -> None:
    server = HttpServer(RoutedSite([("GET", "/long", told)], Limits()), Limits())
    await server.listen("127.0.0.1", 0, None)
    try:
        async with asyncio.timeout(60):
            answer = await answer_of("127.0.0.1", server.port, "/long", None)
    finally:
        await server.stop(0.1)
    assert answer.partition(b"\r\n\r\n")[2] == LONG
