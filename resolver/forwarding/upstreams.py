"""Which name servers are asked about a name. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from resolver.answers.records import Labels

DNS_PORT = 53
TRIES_MIN, TRIES_MAX = 2, 4


class Upstream(NamedTuple):
    """A name server."""

    address: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Roads:
    """Whom to ask: by the longest suffix that is named in stubs, else the others, in order."""

    upstreams: tuple[Upstream, ...] = ()
    stubs: Mapping[Labels, tuple[Upstream, ...]] = field(default_factory=dict)

    def for_name(self, labels: Labels) -> tuple[Upstream, ...]:
        for start in range(len(labels) + 1) if self.stubs else ():
            found = self.stubs.get(labels[start:])
            if found is not None:
                return found
        return self.upstreams

    @property
    def every_one(self) -> tuple[Upstream, ...]:
        named = [one for servers in self.stubs.values() for one in servers]
        return tuple(dict.fromkeys([*self.upstreams, *named]))


def attempts(upstreams: Sequence[Upstream], bad: Mapping[Upstream, float]) -> Iterator[Upstream]:
    """Yield whom to ask, one after the other: those that failed lately come last.

    bad: when each of them failed last. One server is asked twice, since packets get lost.
    """
    ordered = sorted(upstreams, key=lambda one: bad.get(one, 0.0))
    count = min(max(TRIES_MIN, len(ordered)), TRIES_MAX) if ordered else 0
    for index in range(count):
        yield ordered[index % len(ordered)]
