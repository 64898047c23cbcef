"""Where packets to services go: traced through the rules that each machine's kernel holds.

What is asked of the rules never looks at how they were compiled: packets are sent to every address
that services have, and to every one that the rules themselves answer for.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from ipaddress import IPv4Address

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import applied_revision, road_lease_name
from cubernetes.api.core.node import Node
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice
from cubernetes.api.meta import Ref
from cubernetes.client.cache import revision_of
from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet, found_in, word_after
from proxy.run import ROAD
from proxy.services.compile import OWNER, SERVICES
from proxy.services.packets import Packet, fates
from tests.papernet import PaperNet
from tests.simulation.judges.ledger import Ledger

# A pod that no service leads to, as the one who asks.
CALLER = IPv4Address("10.244.255.9")
COMMAND_S = 0.01
# The kernel draws one of 2**31 numbers: shares are equal but for that.
SHARE_ERROR_MAX = Fraction(1, 2**30)

type Target = tuple[str, int]
type Shares = Mapping[Target, Fraction]


class Kernel(PaperNet):
    """The packet filter of one machine: it outlives every proxy, and loses all at a reboot."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble = ""  # "refusing" or "hung"
        self.command_s = COMMAND_S  # how long a command takes
        # How often it was emptied by somebody else than the proxy.
        self.loss_count = 0
        # Called at every change that a command has made.
        self.on_change: Callable[[], None] = lambda: None
        self._rules: RuleSet | None = None

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        if self.trouble == "hung":
            await asyncio.sleep(deadline_s)
            raise CommandFailed(argv, None, f"no end after {deadline_s:g} s")
        await asyncio.sleep(self.command_s)
        if self.trouble:
            raise CommandFailed(argv, 4, "another application holds the lock")
        self.ran.clear()
        self.restored.clear()
        return await super().run(argv, stdin=stdin, deadline_s=deadline_s)

    def restore(self, text: str, *, tables_limit: int | None = None) -> None:
        self._rules = None
        super().restore(text, tables_limit=tables_limit)
        self.on_change()

    def lose(self) -> None:
        """Forget every rule: a reboot, or somebody's `iptables -F`."""
        self._rules = None
        self.loss_count += 1
        self.tables = PaperNet().tables

    @property
    def rules(self) -> RuleSet:
        """What it holds of the proxy's rules."""
        if self._rules is None:
            self._rules = found_in(self.save(), OWNER).rules
        return self._rules


def shares_of(rules: RuleSet, address: str, port: int) -> Shares:
    """Return where connections to an address end, each with its probability; refused: nowhere."""
    packet = Packet(CALLER, IPv4Address(address), port)
    found: dict[Target, Fraction] = {}
    for fate, odds in fates(rules, packet, "forwarded").items():
        if fate.ending not in ("rejected", "dropped"):
            target = (str(fate.packet.destination), fate.packet.port)
            found[target] = found.get(target, Fraction(0)) + odds
    return found


def fronts_of(rules: RuleSet) -> set[Target]:
    """Return the addresses and ports that the rules themselves answer for."""
    return {
        (word_after("-d", rule).removesuffix("/32"), int(word_after("--dport", rule)))
        for rule in rules.chains.get(Chain("nat", SERVICES), ())
        if "--dport" in rule
    }


def are_equal(shares: Shares, targets: set[Target]) -> bool:
    """Whether connections meet each of these equally, and no other."""
    if shares.keys() != targets:
        return False
    fair = Fraction(1, len(targets) or 1)
    return all(abs(share - fair) < SHARE_ERROR_MAX for share in shares.values())


def wanted_of(service: Service, slices: Sequence[EndpointSlice]) -> dict[int, set[Target]]:
    """Return who should answer for each port: the ready, else those that end and still serve."""
    mine = [
        one
        for one in slices
        if (one.metadata.namespace, one.service_name)
        == (service.metadata.namespace, service.metadata.name)
    ]
    wanted = {}
    for port in service.spec.ports:
        offers: list[tuple[Target, Endpoint]] = [
            ((endpoint.addresses[0], offer.port), endpoint)
            for one in mine
            for offer in one.ports
            if offer.name == port.name
            for endpoint in one.endpoints
        ]
        ready = {target for target, endpoint in offers if endpoint.conditions.ready}
        wanted[port.port] = ready or {
            target
            for target, endpoint in offers
            if endpoint.conditions.serving and endpoint.conditions.terminating
        }
    return wanted


class DataPlane:
    """Looks at the kernels of all machines: whenever one changes, and whenever it is asked."""

    def __init__(
        self, ledger: Ledger, kernels: Mapping[str, Kernel], servers: Sequence[str]
    ) -> None:
        """Look with these; servers are addresses that serve without a pod."""
        self._ledger, self._kernels = ledger, kernels
        self._servers = frozenset(servers)
        # What was right when it was looked at last: the service as it stood then, in a kernel that
        # has lost nothing since.
        self._right: dict[tuple[str, Ref], tuple[object, ...]] = {}
        self._seen: dict[str, tuple[RuleSet, int]] = {}
        self._broken: list[str] = []
        for machine, kernel in kernels.items():
            kernel.on_change = partial(self._look, machine, kernel)

    def broken(self) -> list[str]:
        """Return what packets have met, or would meet now, and never may."""
        for machine, kernel in self._kernels.items():
            self._look(machine, kernel)
        return self._broken

    def _look(self, machine: str, kernel: Kernel) -> None:
        now = (kernel.rules, self._ledger.endpoints_revision)
        seen = self._seen.get(machine)
        if seen is None or seen[0] is not now[0] or seen[1] != now[1]:
            self._seen[machine] = now
            self._broken += self._never_ready(machine, kernel.rules)
            self._broken += self._undone(machine, kernel)

    def disagreements(self) -> Iterator[str]:
        """Yield every service whose callers do not meet exactly its ready pods, in calm."""
        services = [one for one in self._ledger.all(Service) if one.spec.cluster_ip]
        for machine, kernel in self._kernels.items():
            answered = set()
            for service in services:
                for port, targets in self._wanted(service).items():
                    address = service.spec.cluster_ip
                    answered |= {(address, port)} if targets else set()
                    shares = shares_of(kernel.rules, address, port)
                    if not are_equal(shares, targets):
                        led = {target: float(share) for target, share in shares.items()}
                        yield f"{machine} leads {service.ref} to {led}, ready are {sorted(targets)}"
            for front in sorted(fronts_of(kernel.rules) - answered):
                yield f"{machine} answers for {front}, which no service has"

    def _wanted(self, service: Service) -> dict[int, set[Target]]:
        return wanted_of(service, self._ledger.all(EndpointSlice))

    def _never_ready(self, machine: str, rules: RuleSet) -> Iterator[str]:
        for address, port in sorted(fronts_of(rules)):
            for target, _ in shares_of(rules, address, port):
                if target not in self._ledger.ready_addresses | self._servers:
                    yield f"{machine} leads {address}:{port} to {target}, which was never ready"

    def _undone(self, machine: str, kernel: Kernel) -> Iterator[str]:
        """Yield what was right, has not changed, and is not right any more.

        Neither the end of a proxy nor the silence of the servers takes a rule away. A removed node
        is out of it: its proxy is refused, and may still carry out what it heard before. So is a
        proxy whose news are late: its rules are right by chance, and what it hears next is past.
        """
        if not any(one.metadata.name == machine for one in self._ledger.all(Node)):
            self._right = {key: one for key, one in self._right.items() if key[0] != machine}
            return
        slices = self._ledger.all(EndpointSlice)
        for service in self._ledger.all(Service):
            mine = [one for one in slices if one.service_name == service.metadata.name]
            now = (kernel.loss_count, service, *mine)
            wanted = wanted_of(service, mine)
            is_right = all(
                are_equal(shares_of(kernel.rules, service.spec.cluster_ip, port), targets)
                for port, targets in wanted.items()
            )
            key = (machine, service.ref)
            # To nobody leads also who has not heard of the service.
            if is_right and any(wanted.values()) and self._has_heard(machine, mine):
                self._right[key] = now
            elif not is_right and self._right.get(key) == now:
                yield f"{machine} led {service.ref} rightly, nothing changed, and now it does not"

    def _has_heard(self, machine: str, slices: Sequence[EndpointSlice]) -> bool:
        """Tell whether a machine's proxy has said that it leads by these slices as they stand."""
        name = road_lease_name(ROAD, machine)
        leases = (one for one in self._ledger.all(Lease) if one.metadata.name == name)
        heard = max(map(applied_revision, leases), default=0)
        return bool(slices) and heard >= max(map(revision_of, slices))
