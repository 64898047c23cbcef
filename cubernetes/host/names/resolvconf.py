"""resolv.conf (resolv.conf(5)): whom a machine asks, and what it tries. Pure."""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

# What glibc heeds: further servers are ignored there.
SERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCHES_CHARS_MAX = 2048
# Before the line of a server that we added.
MARK = "# cubernetes: the cluster's names; `cuberoot reset` takes these two lines away\n"


class ResolvConf(NamedTuple):
    """servers: IPv4 addresses, in the order in which they are asked. Options: `ndots:5`."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parsed(text: str) -> ResolvConf:
    """Return what a file says. Lines that are not understood are skipped, as glibc skips them."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        match line.split("#")[0].split(";")[0].split():
            case ["nameserver", address, *_] if _is_address(address):
                servers.append(address)
            case ["search" | "domain", *names]:
                # Of several such lines the last one counts.
                searches = tuple(name.rstrip(".") for name in names if name.rstrip("."))
            case ["options", *words]:
                options += words
    return ResolvConf(tuple(dict.fromkeys(servers)), searches, tuple(options))


def without(conf: ResolvConf, addresses: Iterable[str]) -> ResolvConf:
    """Return it without some servers."""
    left_out = frozenset(addresses)
    return conf._replace(servers=tuple(one for one in conf.servers if one not in left_out))


def with_first_server(text: str, address: str) -> str:
    """Return a file that asks this server before its own, which are asked where it is silent.

    What somebody else wrote stays as it is, and so does a file that names the server already.
    """
    rest = without_first_server(text)
    return rest if address in parsed(rest).servers else f"{MARK}nameserver {address}\n{rest}"


def without_first_server(text: str) -> str:
    """Return a file as it is without our lines, wherever they stand."""
    before, *after = text.split(MARK)
    return before + "".join(one.partition("\n")[2] for one in after)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
