"""What this machine is and has, read once before anything is changed."""

import asyncio
import os
import re
import shutil
import socket
from ipaddress import IPv4Interface

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cuberoot import layout
from cuberoot.host.supervision import is_systemd
from cuberoot.plan import Card, Facts

TOOLS = ("etcd", "ip", "iptables-save", "iptables-restore", "mount", "conntrack", "java")
DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_DEADLINE_S = 5.0
ETCD_VERSION = re.compile(r"etcd Version: ([0-9]+)\.([0-9]+)\.([0-9]+)")


async def facts_of_this_machine(env: Env, ports: tuple[int, ...]) -> Facts:
    tools = {name: found for name in TOOLS if (found := shutil.which(name))}
    docker_trouble, is_live_restoring = await _docker()
    cards = await _cards(env)
    return Facts(
        is_root=os.geteuid() == 0,
        host_name=socket.gethostname().lower(),
        addresses=tuple(dict.fromkeys(str(one.address.ip) for one in cards)),
        cards=cards,
        tools=tools,
        etcd_version=await _etcd_version(env) if "etcd" in tools else (0, 0, 0),
        docker_trouble=docker_trouble,
        is_live_restoring=is_live_restoring,
        busy_ports=frozenset(port for port in ports if _is_busy(port)),
        is_systemd=is_systemd(),
        has_kafka=layout.KAFKA_JARS.is_dir(),
    )


async def _cards(env: Env) -> tuple[Card, ...]:
    """Return this machine's global IPv4 addresses, those of the default route's card first."""
    try:
        shown = await env.commands.run(["ip", "-4", "-o", "addr", "show", "scope", "global"])
        route = await env.commands.run(["ip", "-4", "route", "show", "default"])
    except CommandFailed:
        return ()
    default = re.search(r"dev (\S+)", route.stdout.decode())
    found = re.findall(r"^[0-9]+: (\S+)\s+inet ([0-9./]+)", shown.stdout.decode(), re.M)
    cards = [Card(name, IPv4Interface(one)) for name, one in found]
    # In their order otherwise: the kernel lists a card's first address first.
    return tuple(sorted(cards, key=lambda one: default is None or one.device != default.group(1)))


async def _etcd_version(env: Env) -> tuple[int, int, int]:
    try:
        said = await env.commands.run(["etcd", "--version"])
    except CommandFailed:
        return (0, 0, 0)
    form = ETCD_VERSION.search(said.stdout.decode())
    return (int(form[1]), int(form[2]), int(form[3])) if form else (0, 0, 0)


async def _docker() -> tuple[str, bool]:
    """Return why Docker cannot be used (empty: it can), and whether it restores live."""
    try:
        async with asyncio.timeout(DOCKER_DEADLINE_S):
            reader, writer = await asyncio.open_unix_connection(DOCKER_SOCKET)
            writer.write(b"GET /info HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        return f"{DOCKER_SOCKET}: {str(error) or 'no answer'}", True
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return f"{DOCKER_SOCKET}: {answer[:80]!r}", True
    # As one word: the body may be chunked, and nothing else of it matters here.
    return "", b'"LiveRestoreEnabled":false' not in body


def _is_busy(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False
