"""What an administrator says of names, in the ConfigMap `resolver` of kube-system. Pure.

    stubDomains: |            domains that other name servers know, as kube-dns had it
      {"corp.example": ["192.0.2.53", "192.0.2.54:5353"]}
    upstreamNameservers: |    name servers in place of the node's own
      ["192.0.2.53"]
    hosts: |                  names and their addresses, as in hosts(5)
      192.0.2.9  db.example db2.example

What is wrong is left out and told; the rest holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.host.names.resolvconf import SERVERS_MAX
from resolver.answers.records import Labels, labels_of
from resolver.forwarding.upstreams import DNS_PORT, Upstream
from resolver.objects import packed_address

NAMESPACE, NAME = "kube-system", "resolver"
STUBS, UPSTREAMS, HOSTS = "stubDomains", "upstreamNameservers", "hosts"
STUBS_MAX = 100
HOSTS_MAX = 10_000
PROBLEMS_MAX = 20
PORT_MAX = 65_535
SHOWN_CHARS = 80


class Overrides(NamedTuple):
    """upstreams: empty are the node's own. problems: what was left out, each with its key."""

    stubs: Mapping[Labels, tuple[Upstream, ...]] = {}
    upstreams: tuple[Upstream, ...] = ()
    hosts: Mapping[Labels, tuple[bytes, ...]] = {}
    problems: tuple[str, ...] = ()


def overrides_in(one: ConfigMap | None) -> Overrides:
    """Return what a ConfigMap says; nothing where there is none."""
    if one is None:
        return Overrides()
    problems = [
        f"{key[:SHOWN_CHARS]}: is no key of this; {STUBS}, {UPSTREAMS} and {HOSTS} are"
        for key in sorted({*one.data, *one.binary_data} - {STUBS, UPSTREAMS, HOSTS})
    ]
    stubs = dict(_stubs(one.data.get(STUBS, ""), problems))
    told = _read(one.data.get(UPSTREAMS, ""), UPSTREAMS, problems)
    upstreams = _servers(told, UPSTREAMS, problems)
    hosts = _hosts(one.data.get(HOSTS, ""), problems)
    if len(problems) > PROBLEMS_MAX:
        problems[PROBLEMS_MAX:] = [f"and {len(problems) - PROBLEMS_MAX} more"]
    return Overrides(stubs, upstreams, hosts, tuple(problems))


def _stubs(text: str, problems: list[str]) -> Iterator[tuple[Labels, tuple[Upstream, ...]]]:
    tree = _read(text, STUBS, problems)
    if tree is None:
        return
    if not isinstance(tree, dict):
        problems.append(f'{STUBS}: must be a map in JSON, {{"corp.example": ["192.0.2.53"]}}')
        return
    if len(tree) > STUBS_MAX:
        problems.append(f"{STUBS}: has {len(tree)} domains; the first {STUBS_MAX} hold")
    for domain, told in list(tree.items())[:STUBS_MAX]:
        where = f"{STUBS}[{domain[:SHOWN_CHARS]}]"
        labels = _labels(domain, where, problems)
        servers = _servers(told, where, problems)
        if labels and servers:
            yield labels, servers


def _servers(told: object, where: str, problems: list[str]) -> tuple[Upstream, ...]:
    """Return name servers; a list in JSON of ADDRESS or ADDRESS:PORT."""
    if told is None:
        return ()
    if not isinstance(told, list):
        problems.append(f'{where}: must be a list in JSON, ["192.0.2.53"]')
        return ()
    if len(told) > SERVERS_MAX:
        problems.append(f"{where}: has {len(told)} servers; the first {SERVERS_MAX} are asked")
    found = []
    for one in told[:SERVERS_MAX]:
        server = _server(str(one))
        if server is None:
            rule = "must be an IPv4 address, or one with `:` and a port from 1 to 65535"
            problems.append(f"{where}: {str(one)[:SHOWN_CHARS]!r} {rule}")
        else:
            found.append(server)
    return tuple(dict.fromkeys(found))


def _server(text: str) -> Upstream | None:
    address, colon, port = text.partition(":")
    is_number = port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= PORT_MAX
    if not packed_address(address) or (colon and not is_number):
        return None
    return Upstream(address, int(port) if colon else DNS_PORT)


def _hosts(text: str, problems: list[str]) -> Mapping[Labels, tuple[bytes, ...]]:
    found: dict[Labels, list[bytes]] = {}
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    for number, words in enumerate(lines, 1):
        if not words:
            continue
        where = f"{HOSTS}, line {number}"
        address = packed_address(words[0])
        if not address or len(words) == 1:
            problems.append(f"{where}: must be an IPv4 address and names, 192.0.2.9 db.example")
            continue
        for name in words[1:]:
            if len(found) >= HOSTS_MAX:
                problems.append(f"{where}: from here on are more than {HOSTS_MAX} names")
                return _settled(found)
            labels = _labels(name, where, problems)
            if labels:
                found.setdefault(labels, []).append(address)
    return _settled(found)


def _settled(
    found: Mapping[Labels, Sequence[bytes]],
) -> Mapping[Labels, tuple[bytes, ...]]:
    return {labels: tuple(sorted(set(addresses))) for labels, addresses in found.items()}


def _read(text: str, where: str, problems: list[str]) -> object:
    if not text.strip():
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        problems.append(f"{where}: is no JSON: {error}")
        return None


def _labels(name: str, where: str, problems: list[str]) -> Labels:
    try:
        labels = labels_of(name)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return ()
    if not labels:
        problems.append(f"{where}: needs a name")
    return labels
