"""Ports of this node that lead to pods: compiled by a pure function, applied in one transaction.

    nat  PREROUTING, OUTPUT -> CUBE-HOSTPORTS: what is for an address of this node, to the pod
         POSTROUTING        -> CUBE-HOSTPORT-BACK: a pod that reaches itself sees the node instead

127.0.0.1 is not among the node's addresses here: leading it out would need route_localnet, which
opens every loopback service of the node to its neighbours (CVE-2020-8558).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.hostport import led_ports
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.conntrack import Flows
from cubernetes.host.packetfilter.flows import Flow, Front, stale_flows
from cubernetes.host.packetfilter.iptables import Applied
from cubernetes.host.packetfilter.ruleset import Chain, Owner, Rule, RuleSet, word_after
from kubelet.ports.keptrules import KeptRules

FORTH, BACK = "CUBE-HOSTPORTS", "CUBE-HOSTPORT-BACK"
OWNER = Owner(frozenset({FORTH, BACK}))


class PortMapping(NamedTuple):
    """One port of the node and where it leads. host_ip empty is every address of the node."""

    host_ip: str
    host_port: int
    protocol: str  # tcp, udp
    address: str
    port: int


def leads_of(pod: Pod, address: str) -> tuple[PortMapping, ...]:
    if pod.spec.host_network:
        return ()  # it listens at the node's own ports
    return tuple(
        PortMapping(host, number, protocol, address, port)
        for host, number, protocol, port in led_ports(pod.spec)
    )


def rules_for(leads: Iterable[PortMapping]) -> RuleSet:
    """Return the rules that carry the leads; nothing at all where there is none."""
    ordered = sorted(set(leads))
    if not ordered:
        return RuleSet()
    local: Rule = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", FORTH)
    return RuleSet(
        chains={
            Chain("nat", FORTH): tuple(_forth(ordered)),
            Chain("nat", BACK): tuple(_back(ordered)),
        },
        jumps={
            Chain("nat", "PREROUTING"): (local,),
            Chain("nat", "OUTPUT"): (local,),
            Chain("nat", "POSTROUTING"): (("-j", BACK),),
        },
    )


def _forth(leads: Iterable[PortMapping]) -> Iterator[Rule]:
    for one in leads:
        to = ("-d", f"{one.host_ip}/32") if one.host_ip else ()
        port = ("-p", one.protocol, "-m", one.protocol, "--dport", str(one.host_port))
        yield (*to, *port, "-j", "DNAT", "--to-destination", f"{one.address}:{one.port}")


def _back(leads: Iterable[PortMapping]) -> Iterator[Rule]:
    for address in sorted({one.address for one in leads}):
        yield ("-s", f"{address}/32", "-d", f"{address}/32", "-j", "MASQUERADE")


def udp_endpoints(rules: RuleSet) -> Mapping[Front, frozenset[str]]:
    """Return the pods behind each UDP port of the node; a front without an address is of all."""
    fronts: dict[Front, frozenset[str]] = {}
    for rule in rules.chains.get(Chain("nat", FORTH), ()):
        if "udp" in rule:
            front = Front(word_after("-d", rule).partition("/")[0], word_after("--dport", rule))
            endpoint = word_after("--to-destination", rule).partition(":")[0]
            fronts[front] = fronts.get(front, frozenset()) | {endpoint}
    return fronts


def at_addresses(flows: Iterable[Flow], addresses: Iterable[str]) -> list[Flow]:
    """Say of flows to any address of the node to which: `conntrack` knows no «local»."""
    known = sorted(addresses)
    return [
        Flow(Front(address, flow.front.port), flow.endpoint)
        for flow in flows
        for address in ([flow.front.address] if flow.front.address else known)
    ]


class IptablesHostPorts:
    """Keeps the rules as the pods of this node want them. addresses: those of this node.

    The rules of an earlier life stay whole until every pod that is expected has been seen.
    """

    def __init__(self, env: Env, addresses: Callable[[], Iterable[str]]) -> None:
        self._addresses = addresses
        self._leads: dict[str, tuple[PortMapping, ...]] = {}
        self._unseen: set[str] | None = None  # None: nobody has said yet which pods there are
        self._gone: list[str] = []
        self._flows = Flows(env.commands)
        self._rules = KeptRules(env, OWNER, "host ports", self._forget)

    def expect(self, pod_uids: Iterable[str]) -> None:
        if self._unseen is None:
            self._unseen = set(pod_uids)
            self._want()

    def seen(self, pod_uid: str) -> None:
        if self._unseen and pod_uid in self._unseen:
            self._unseen.remove(pod_uid)
            self._want()

    def lead(self, pod: Pod, address: str) -> None:
        leads = leads_of(pod, address)
        if leads and self._leads.get(pod.metadata.uid) != leads:
            self._leads[pod.metadata.uid] = leads
            self._want()

    def drop(self, pod_uid: str, address: str) -> None:
        if self._leads.pop(pod_uid, None):
            self._want()
        if address:
            self._gone.append(address)
            self._rules.wake()

    async def run(self) -> None:
        await self._rules.run()

    def _want(self) -> None:
        if self._unseen is None or self._unseen:
            return
        self._rules.want(rules_for(lead for uid in self._leads for lead in self._leads[uid]))

    async def _forget(self, applied: Applied) -> None:
        """Forget flows that lead to where they should not; after the rules, never before."""
        stale = stale_flows(udp_endpoints(applied.before), udp_endpoints(applied.after))
        if stale:
            here = [one for one in self._addresses() if one]
            await self._flows.forget(at_addresses(stale, here), here)
        gone, self._gone = self._gone, []
        for address in sorted(set(gone)):
            await self._flows.forget_address(address)
