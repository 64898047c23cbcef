"""The few calls of a Weave router's HTTP interface that are used, in a node's network namespace.

Its control port is on the loopback, and believes every client.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address
from urllib.parse import urlencode

from kubelet.network.driver import NetworkTrouble
from kubelet.network.namespace import inside

CONTROL = ("127.0.0.1", 6784)
DEADLINE_S = 5.0
ANSWER_BYTES_MAX = 4 << 20
ESTABLISHED = "established"


class WeaveRouter:
    """A client of the router of one node. Every call raises NetworkTrouble where it cannot be."""

    def __init__(self, netns: str, control: tuple[str, int] = CONTROL) -> None:
        self._netns, self._control = netns, control

    async def targets(self) -> list[str]:
        """Return the addresses that it was told to connect to."""
        return sorted(line.strip() for line in (await self._ask("GET", "/status/targets")).split())

    async def connect(self, addresses: Sequence[str]) -> None:
        """Have it connect to exactly these, at once also where it waits to try again."""
        await self._ask(
            "POST", "/connect", [("replace", "true"), *(("peer", a) for a in addresses)]
        )

    async def connection(self, address: IPv4Address) -> str:
        """Return the state of the connection to an address, as the router tells it."""
        return state_in(await self._ask("GET", "/status/connections"), address)

    async def _ask(self, verb: str, path: str, form: Sequence[tuple[str, str]] = ()) -> str:
        body = urlencode(form).encode()
        head = (
            f"{verb} {path} HTTP/1.0\r\nHost: weave\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._exchanged(head.encode() + body)
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer in {DEADLINE_S:.0f} s"
            raise NetworkTrouble(f"the Weave router does not answer: {why}") from error
        first, _, rest = answer.partition(b"\r\n")
        said = rest.partition(b"\r\n\r\n")[2].decode(errors="replace")
        if first.split(b" ")[1:2] == [b"503"]:
            raise NetworkTrouble("the Weave router is not ready yet")
        if first.split(b" ")[1:2] not in ([b"200"], [b"204"]):
            told = said.strip()[:300] or first.decode(errors="replace")
            raise NetworkTrouble(f"the Weave router refuses {path}: {told}")
        return said

    async def _exchanged(self, request: bytes) -> bytes:
        with inside(self._netns):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, self._control)
            reader, writer = await asyncio.open_connection(sock=made)
        except BaseException:
            made.close()
            raise
        try:
            writer.write(request)
            await writer.drain()
            answer = bytearray()
            while len(answer) < ANSWER_BYTES_MAX and (some := await reader.read(64 << 10)):
                answer += some
            return bytes(answer)
        finally:
            writer.close()


def state_in(connections: str, address: IPv4Address) -> str:
    """Return what the router's table of connections says of an address. Pure.

    A line is an arrow, address:port, a state and words; of several the established one counts.
    """
    found = []
    for line in connections.splitlines():
        words = line.split(None, 3)
        if len(words) >= 3 and words[1].rpartition(":")[0] == str(address):
            # When it tries again changes at each look: who is told has been told.
            why = words[3].partition(", retry: ")[0] if len(words) > 3 else ""
            found.append(f"{words[2]} {why}".strip())
    if any(one.startswith(ESTABLISHED) for one in found):
        return ESTABLISHED
    return found[0] if found else "no connection"
