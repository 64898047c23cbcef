"""Which remembered flows are stale when what is behind an address changes. Pure.

A UDP flow has no end that the kernel could see: as long as its client keeps sending, it stays where
its first packet went, also when what is there is gone, or when there was nothing yet. TCP finds out
by itself.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Front(NamedTuple):
    """Where flows are sent to. An empty address or port means all of them."""

    address: str
    port: str = ""


class Flow(NamedTuple):
    """Flows to a front that go to one endpoint; an empty endpoint means all of them."""

    front: Front
    endpoint: str = ""


def stale_flows(
    before: Mapping[Front, Collection[str]], after: Mapping[Front, Collection[str]]
) -> list[Flow]:
    """Return the flows that are wrong when the endpoints behind fronts change. Pure.

    Those to endpoints that a front lost; and all of a front that had no endpoint, since what was
    sent to it then may be remembered as going nowhere.
    """
    stale: list[Flow] = []
    for front in sorted(before.keys() | after.keys()):
        had, has = frozenset(before.get(front, ())), frozenset(after.get(front, ()))
        if not had or not has:
            stale += [Flow(front)] if had != has else []
        else:
            stale += [Flow(front, endpoint) for endpoint in sorted(had - has)]
    return stale


def argv_for(flow: Flow) -> list[str]:
    """Return the command that deletes a flow from the kernel's table of connections."""
    argv = ["conntrack", "-D", "-p", "udp"]
    if flow.front.address:
        argv += ["--orig-dst", flow.front.address]
    if flow.front.port:
        argv += ["--orig-port-dst", flow.front.port]
    return argv + (["--dst-nat", flow.endpoint] if flow.endpoint else [])


def argvs_for_address(address: str) -> list[list[str]]:
    """Return the commands that delete every UDP flow from and to an address, translated or not."""
    return [["conntrack", "-D", "-p", "udp", end, address] for end in ("--orig-src", "--reply-src")]
