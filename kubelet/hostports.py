"""Ports of this node that lead to pods: compiled by a pure function, applied in one transaction.

    nat  PREROUTING, OUTPUT -> CUBE-HOSTPORTS: what is for an address of this node, to the pod
         POSTROUTING        -> CUBE-HOSTPORT-BACK: a pod that reaches itself sees the node instead

127.0.0.1 is not among the node's addresses here: leading it out would need route_localnet, which
opens every loopback service of the node to its neighbours (CVE-2020-8558).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cubernetes.api.pod import Pod
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.iptables import Iptables, tools_in_use
from cubernetes.host.log import Log
from cubernetes.host.ruleset import Owner, Place, Rule, RuleSet

log = Log(__name__)

FORTH, BACK = "CUBE-HOSTPORTS", "CUBE-HOSTPORT-BACK"
OWNER = Owner(frozenset({FORTH, BACK}))
CHECK_S = 10.0
RETRY_S = 2.0


class Lead(NamedTuple):
    """One port of the node and where it leads. host_ip empty is every address of the node."""

    host_ip: str
    host_port: int
    protocol: str  # tcp, udp
    address: str
    port: int


def leads_of(pod: Pod, address: str) -> tuple[Lead, ...]:
    return tuple(
        Lead(
            "" if port.host_ip == "0.0.0.0" else port.host_ip,  # noqa: S104  compared, not bound
            port.host_port,
            port.protocol.lower(),
            address,
            port.container_port,
        )
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    )


def rules_for(leads: Iterable[Lead]) -> RuleSet:
    """Return the rules that carry the leads; nothing at all where there is none."""
    ordered = sorted(set(leads))
    if not ordered:
        return RuleSet()
    local: Rule = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", FORTH)
    return RuleSet(
        chains={
            Place("nat", FORTH): tuple(_forth(ordered)),
            Place("nat", BACK): tuple(_back(ordered)),
        },
        jumps={
            Place("nat", "PREROUTING"): (local,),
            Place("nat", "OUTPUT"): (local,),
            Place("nat", "POSTROUTING"): (("-j", BACK),),
        },
    )


def _forth(leads: Iterable[Lead]) -> Iterator[Rule]:
    for one in leads:
        to = ("-d", f"{one.host_ip}/32") if one.host_ip else ()
        port = ("-p", one.protocol, "-m", one.protocol, "--dport", str(one.host_port))
        yield (*to, *port, "-j", "DNAT", "--to-destination", f"{one.address}:{one.port}")


def _back(leads: Iterable[Lead]) -> Iterator[Rule]:
    for address in sorted({one.address for one in leads}):
        yield ("-s", f"{address}/32", "-d", f"{address}/32", "-j", "MASQUERADE")


class IptablesHostPorts:
    """Keeps the rules as the pods of this node want them."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._leads: dict[str, tuple[Lead, ...]] = {}
        self._changed = asyncio.Event()

    def lead(self, pod: Pod, address: str) -> None:
        leads = leads_of(pod, address)
        if leads and self._leads.get(pod.metadata.uid) != leads:
            self._leads[pod.metadata.uid] = leads
            self._changed.set()

    def drop(self, pod_uid: str) -> None:
        if self._leads.pop(pod_uid, None):
            self._changed.set()

    async def run(self) -> None:
        """Apply each change, and look now and then whether somebody else made one."""
        tools = await tools_in_use(self._env.commands)
        rules = Iptables(self._env.commands, tools, OWNER)
        # What an earlier life wrote stays until the pods of this one are known.
        await self._changed.wait()
        while True:
            self._changed.clear()
            try:
                await rules.check(self._wanted())
                pause_s = CHECK_S
            except CommandFailed as error:
                log.warning("host ports not applied", why=error)
                pause_s = RETRY_S
            await self._wait(pause_s)

    def settled(self) -> None:
        """Every pod of this node has been seen: rules of no pod may go."""
        self._changed.set()

    def _wanted(self) -> RuleSet:
        leads: Mapping[str, tuple[Lead, ...]] = self._leads
        return rules_for(lead for uid in leads for lead in leads[uid])

    async def _wait(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            return
