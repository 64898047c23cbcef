"""The resolver as dig sees it, BIND's own client, by UDP and TCP."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from cubernetes.api.core.service import ServicePort
from cubernetes.api.meta import replaced
from tests.contract.machine.test_resolver import DEADLINE_S, LOOPBACK, resolver
from tests.given import a_service, a_slice
from tests.unit.resolver.asking import a_zone

# scripts/test unpacks other people's programs here.
TOOLS = Path(__file__).resolve().parents[3] / "var/tools/usr"
DIG = shutil.which("dig", path=f"{os.environ['PATH']}:{TOOLS / 'bin'}") or ""
pytestmark = pytest.mark.skipif(
    not DIG, reason="no dig: scripts/test unpacks Debian's bind9-dnsutils into var/tools"
)

DOMAIN = "default.svc.cluster.local"
PORTS = (ServicePort(name="http", port=80),)
WEB = a_service(ports=PORTS)
MANY = a_service("many", cluster_ip="None")
ENDS = a_slice("m", service="many", addresses=[f"10.244.1.{at}" for at in range(100)])


async def dig(port: int, *words: str) -> str:
    """Return all that dig says of an answer. It is never to complain of one."""
    library = TOOLS / "lib" / "x86_64-linux-gnu"
    environment = os.environ | {"LD_LIBRARY_PATH": str(library)}
    argv = (DIG, "-r", f"@{LOOPBACK}", "-p", str(port), "+time=30", "+tries=1", *words)
    running = await asyncio.create_subprocess_exec(
        *argv, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE_S):
        said, _ = await running.communicate()
    text = said.decode()
    complaints = ("malformed", "mismatch", "unexpected", "extra bytes", "error:", "recursion req")
    assert not [word for word in complaints if word in text.lower()], text
    return text


def status_of(text: str) -> str:
    found = re.search(r"status: (\w+)", text)
    assert found is not None, text
    return found[1]


def flags_of(text: str) -> list[str]:
    found = re.search(r"flags: ([a-z ]+);", text)
    assert found is not None, text
    return found[1].split()


async def test_dig_is_told_addresses_ports_and_names() -> None:
    async with resolver(a_zone(WEB, MANY, ENDS)) as port:
        assert await dig(port, "+short", f"web.{DOMAIN}") == "10.96.0.10\n"
        srv = await dig(port, "+short", "SRV", f"_http._tcp.web.{DOMAIN}")
        assert srv.split()[2:] == ["80", f"web.{DOMAIN}."]
        assert await dig(port, "+short", "-x", "10.96.0.10") == f"web.{DOMAIN}.\n"
        assert await dig(port, "+short", "+tcp", f"web.{DOMAIN}") == "10.96.0.10\n"
        # The spelling of the question is that of the answer.
        spelled = await dig(port, "+noall", "+answer", f"wEB.{DOMAIN}")
        assert spelled.startswith(f"wEB.{DOMAIN}.")


async def test_dig_is_told_what_there_is_not() -> None:
    async with resolver(a_zone(WEB)) as port:
        gone = await dig(port, f"gone.{DOMAIN}")
        assert (status_of(gone), "ANSWER: 0, AUTHORITY: 1" in gone) == ("NXDOMAIN", True)
        without = await dig(port, "AAAA", f"web.{DOMAIN}")
        assert (status_of(without), "ANSWER: 0, AUTHORITY: 1" in without) == ("NOERROR", True)
        for text in (gone, without):
            assert "aa" in flags_of(text)
            assert re.search(r"\sSOA\s", text)


async def test_dig_asks_again_by_tcp_for_what_no_datagram_holds() -> None:
    async with resolver(a_zone(MANY, ENDS)) as port:
        cut = await dig(port, "+ignore", "+bufsize=1232", f"many.{DOMAIN}")
        assert "tc" in flags_of(cut)
        whole = await dig(port, "+short", "+bufsize=1232", f"many.{DOMAIN}")
        assert len(set(whole.split("\n")) & {f"10.244.1.{at}" for at in range(100)}) == 100


async def test_dig_finds_edns_spoken_and_a_later_version_of_it_refused() -> None:
    async with resolver(a_zone(WEB)) as port:
        assert "; EDNS: version: 0" in await dig(port, f"web.{DOMAIN}")
        assert "EDNS" not in await dig(port, "+noedns", f"web.{DOMAIN}")
        later = await dig(port, "+edns=1", "+noednsnegotiation", f"web.{DOMAIN}")
        assert status_of(later) == "BADVERS"


async def test_dig_is_refused_a_whole_zone() -> None:
    async with resolver(a_zone(replaced(WEB))) as port:
        said = await dig(port, "+tcp", "AXFR", "cluster.local")
        assert "10.96.0.10" not in said
