"""Flows that the kernel remembers, and which of them must be forgotten when addresses change.

A UDP flow has no end that the kernel could see: as long as its client keeps sending, it stays where
its first packet went, also when what is there is gone, or when there was nothing yet. TCP finds out
by itself. Service addresses, ports of nodes and the addresses of pods are all forgotten here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.log import Log

log = Log(__name__)

# Above this, every UDP flow to the addresses in question is forgotten by a few commands: each
# client's next packet then finds its way again.
FLOW_LIMIT = 32
DEADLINE_S = 10.0


class Front(NamedTuple):
    """Where flows are sent to. An empty port means all of them."""

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
    argv = ["conntrack", "-D", "-p", "udp", "--orig-dst", flow.front.address]
    if flow.front.port:
        argv += ["--orig-port-dst", flow.front.port]
    return argv + (["--dst-nat", flow.endpoint] if flow.endpoint else [])


def argvs_for_address(address: str) -> list[list[str]]:
    """Return the commands that delete every UDP flow from and to an address, translated or not."""
    return [["conntrack", "-D", "-p", "udp", end, address] for end in ("--orig-src", "--reply-src")]


class Flows:
    """Makes the kernel forget. everything: the addresses or ranges that stand for all fronts."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._can_forget = True

    async def forget(self, flows: Sequence[Flow], everything: Sequence[str]) -> None:
        """Forget flows; what cannot be is told, and expires by itself.

        everything: the addresses or ranges that hold every front of such flows.
        """
        few = flows if len(flows) <= FLOW_LIMIT else [Flow(Front(one)) for one in everything]
        await self._run(argv_for(flow) for flow in few)

    async def forget_address(self, address: str) -> None:
        """Forget every UDP flow from and to an address that nobody has any more."""
        await self._run(argvs_for_address(address))

    async def _run(self, commands: Iterable[list[str]]) -> None:
        for argv in commands:
            if not self._can_forget:
                return
            try:
                await self._commands.run(argv, deadline_s=DEADLINE_S)
            except CommandFailed as error:
                self._failed(argv, error)

    def _failed(self, argv: Sequence[str], error: CommandFailed) -> None:
        if error.code is None:
            log.warning("stale UDP flows stay until they expire", reason=error)
            self._can_forget = False
        # It also ends with 1 where there was nothing to delete, which is the usual case.
        elif "0 flow entries" not in error.said:
            log.warning("stale UDP flow not forgotten", argv=" ".join(argv), reason=error)
