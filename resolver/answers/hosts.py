"""Hosts of Dnses to the addresses of the gateways that serve them. Pure.

A host may lie in the cluster's domain or outside of it; there it stands in place of what other name
servers say, as long as a gateway serves it. Several Dnses may give one host its paths: it has the
addresses that any of them is served at.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from cubernetes.api.cubernetes.dns import Dns
from resolver.answers.compile import Facts, Node
from resolver.answers.records import HERE, A, Entry, Labels, a_record, labels_of
from resolver.objects import packed_address

type Key = tuple[str, str]  # namespace, name


class Hosts:
    """What each host leads to; a name above a host is there too, without records."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._claims: dict[Labels, dict[Key, tuple[bytes, ...]]] = {}
        self._nodes: dict[Labels, Node] = {}
        # What an administrator says of names: it goes before every Dns.
        self._overrides: Mapping[Labels, Node] = {}
        # How many hosts lie below a name of the cluster's domain.
        self._above: Counter[Labels] = Counter()

    def take(self, old: Dns | None, new: Dns | None) -> None:
        """Take what stands at a Dns's name instead of what stood there."""
        for one, addresses in ((old, ()), (new, _addresses(new))):
            if one is not None:
                self._claim(one, addresses)

    def override(self, hosts: Mapping[Labels, Sequence[bytes]]) -> None:
        """Let these names lead to these addresses, and to no others any more."""
        self._overrides = {one: _node(addresses, self._facts) for one, addresses in hosts.items()}

    def node_of(self, labels: Labels) -> Node | None:
        """Return what is at a host; None where no gateway serves it."""
        found = self._overrides.get(labels) or self._nodes.get(labels)
        return {} if found is None and labels in self._above else found

    def _claim(self, one: Dns, addresses: tuple[bytes, ...]) -> None:
        try:
            host = labels_of(one.spec.host)
        except ValueError:  # of an older version's rules
            return
        claims = self._claims.setdefault(host, {})
        claims.pop((one.metadata.namespace, one.metadata.name), None)
        if addresses:
            claims[one.metadata.namespace, one.metadata.name] = addresses
        was_there = host in self._nodes
        if claims:
            found = sorted({address for each in claims.values() for address in each})
            self._nodes[host] = _node(found, self._facts)
        else:
            del self._claims[host]
            self._nodes.pop(host, None)
        for name in self._names_above(host):
            self._above[name] += bool(claims) - was_there
            if not self._above[name]:
                del self._above[name]

    def _names_above(self, host: Labels) -> Iterator[Labels]:
        """Yield the names between a host and the cluster's domain; others' domains are not ours."""
        depth = len(host) - len(self._facts.zone)
        if depth > 0 and host[depth:] == self._facts.zone:
            yield from (host[start:] for start in range(1, depth))


def _addresses(one: Dns | None) -> tuple[bytes, ...]:
    found = map(packed_address, one.status.gateways) if one is not None else ()
    return tuple(address for address in found if address)


def _node(addresses: Sequence[bytes], facts: Facts) -> Node:
    return {A: tuple(Entry(a_record(HERE, facts.ttl_s, one)) for one in addresses)}
