"""The rules of a node, kept on paper: when something is written, and what is forgotten after."""

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from cubernetes.api.core.service import ServicePort
from cubernetes.api.discovery.endpointslice import EndpointPort
from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.packetfilter.conntrack import FLOW_MAX
from cubernetes.host.packetfilter.iptables import ANY, LEGACY, NFT, Iptables, tools_in_use
from cubernetes.host.packetfilter.ruleset import RuleSet
from proxy.services.apply import ServiceRules
from proxy.services.compile import OWNER, rules_for
from tests.given import a_service, a_slice
from tests.papernet import PaperNet
from tests.unit.proxy.services.clusters import FACTS


def node_with(net: PaperNet) -> ServiceRules:
    return ServiceRules(net, Iptables(net, NFT, OWNER), str(FACTS.service_range))


def udp_rules(*addresses: str, service_count: int = 1) -> RuleSet:
    ports = [ServicePort(port=53, name="dns", protocol="UDP")]
    offered = [EndpointPort(name="dns", protocol="UDP", port=5353)]
    names = [f"dns-{number}" for number in range(service_count)]
    services = [
        a_service(name, ports=ports, cluster_ip=f"10.96.0.{53 + number}")
        for number, name in enumerate(names)
    ]
    slices = [
        a_slice(f"{name}-1", service=name, addresses=addresses, ports=offered) for name in names
    ]
    return rules_for(services, slices, FACTS)


async def test_nothing_is_written_where_nothing_changed() -> None:
    net = PaperNet()
    node = node_with(net)
    first = await node.apply(udp_rules("10.244.1.2"))
    again = await node.apply(udp_rules("10.244.1.2"))
    checked = await node.check(udp_rules("10.244.1.2"))

    assert (first.is_written, again.is_written, checked.is_written) == (True, False, False)
    assert len(net.restored) == 1


class SlowNet(PaperNet):
    """Its iptables needs as long for each chain as iptables-nft did on a busy machine."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        chain_count = (stdin.decode() or self.save()).count("\n:CUBE-")
        if chain_count * 0.0125 > deadline_s:
            raise CommandFailed(argv, None, f"no end after {deadline_s} s")
        return await super().run(argv, stdin=stdin, deadline_s=deadline_s)


async def test_many_services_are_given_the_time_that_they_take() -> None:
    net, count, ends = SlowNet(), 1500, ["10.244.1.2", "10.244.1.3"]
    first = IPv4Address("10.96.1.0")
    services = [a_service(f"web-{at}", cluster_ip=str(first + at)) for at in range(count)]
    slices = [a_slice(f"{at}", service=f"web-{at}", addresses=ends) for at in range(count)]
    node, wanted = node_with(net), rules_for(services, slices, FACTS)
    assert (await node.apply(wanted)).is_written
    assert not (await node.check(wanted)).is_written
    assert await tools_in_use(net, "auto") == NFT
    assert (await Iptables(net, NFT, OWNER).reset()).is_written


async def test_w25_a_restarted_proxy_finds_its_rules_and_writes_none() -> None:
    net = PaperNet()
    await node_with(net).apply(udp_rules("10.244.1.2"))

    applied = await node_with(net).apply(udp_rules("10.244.1.2"))

    assert not applied.is_written
    assert len(net.restored) == 1


async def test_w25_chains_that_a_dead_proxy_left_are_known_and_removed() -> None:
    net = PaperNet()
    await node_with(net).apply(udp_rules("10.244.1.2", "10.244.1.3"))
    await node_with(net).apply(udp_rules())

    assert not [chain for chain in net.tables["nat"] if chain.startswith(("CUBE-SVC", "CUBE-SEP"))]


async def test_somebody_elses_flush_is_repaired_at_the_next_check() -> None:
    net = PaperNet()
    node = node_with(net)
    wanted = udp_rules("10.244.1.2")
    await node.apply(wanted)
    right = net.save()
    for chains in net.tables.values():
        for rules in chains.values():
            rules.clear()

    applied = await node.check(wanted)

    assert applied.is_written
    assert net.save() == right


async def test_a_failed_transaction_is_followed_by_a_reading() -> None:
    net = PaperNet()
    node = node_with(net)
    await node.apply(udp_rules("10.244.1.2"))
    net.failures.append(CommandFailed(["iptables-nft-restore"], None, "no end after 30 s"))
    with pytest.raises(CommandFailed):
        await node.apply(udp_rules("10.244.1.3"))

    await node.apply(udp_rules("10.244.1.3"))

    assert net.ran[-3:-1] == [
        ("iptables-nft-save",),
        ("iptables-nft-restore", "--noflush", "-w", "5"),
    ]


async def test_an_iptables_that_spells_rules_otherwise_is_not_written_for_ever() -> None:
    class Dialect(PaperNet):
        def save(self) -> str:
            return super().save().replace("-p udp -j DNAT", "-p udp -m udp -j DNAT")

    net = Dialect()
    node = node_with(net)
    wanted = udp_rules("10.244.1.2")
    await node.check(wanted)
    before = len(net.restored)

    for _ in range(3):
        await node.check(wanted)
        await node.apply(wanted)

    assert len(net.restored) == before


async def test_flows_to_a_lost_udp_endpoint_are_forgotten_after_the_rules() -> None:
    net = PaperNet()
    node = node_with(net)
    await node.apply(udp_rules("10.244.1.2", "10.244.1.3"))
    net.ran.clear()

    await node.apply(udp_rules("10.244.1.3"))

    assert net.ran == [
        ("iptables-nft-restore", "--noflush", "-w", "5"),
        ("conntrack", "-D", "-p", "udp", "--orig-dst", "10.96.0.53", "--orig-port-dst", "53",
         "--dst-nat", "10.244.1.2"),
    ]  # fmt: skip


async def test_flows_of_a_service_that_gets_its_first_endpoint_are_forgotten() -> None:
    net = PaperNet()
    node = node_with(net)
    await node.apply(udp_rules())
    await node.apply(udp_rules("10.244.1.2"))

    forget = ("conntrack", "-D", "-p", "udp", "--orig-dst", "10.96.0.53", "--orig-port-dst", "53")
    assert net.conntracked == [forget]


async def test_flows_that_ended_while_the_proxy_was_away_are_forgotten_too() -> None:
    net = PaperNet()
    await node_with(net).apply(udp_rules("10.244.1.2", "10.244.1.3"))
    net.ran.clear()

    await node_with(net).apply(udp_rules("10.244.1.3"))

    assert [argv[-1] for argv in net.conntracked] == ["10.244.1.2"]


async def test_tcp_flows_are_left_alone() -> None:
    net = PaperNet()
    node = node_with(net)
    await node.apply(rules_for([a_service()], [a_slice(addresses=["10.244.1.2"])], FACTS))
    await node.apply(rules_for([a_service()], [], FACTS))

    assert net.conntracked == []


async def test_many_stale_flows_are_forgotten_by_one_command() -> None:
    net = PaperNet()
    node = node_with(net)
    await node.apply(udp_rules("10.244.1.2", service_count=FLOW_MAX + 1))

    assert net.conntracked == [("conntrack", "-D", "-p", "udp", "--orig-dst", "10.96.0.0/16")]


async def test_a_missing_conntrack_is_met_once(caplog: pytest.LogCaptureFixture) -> None:
    class NoConntrack(PaperNet):
        async def run(self, argv, *, stdin=b"", deadline_s=30.0):  # type: ignore[no-untyped-def]
            done = None if argv[0] == "conntrack" else await super().run(argv, stdin=stdin)
            if done is None:
                self.ran.append(tuple(argv))
                raise CommandFailed(argv, None, "No such file or directory")
            return done

    net = NoConntrack()
    node = node_with(net)
    for address in ("10.244.1.2", "10.244.1.3", "10.244.1.4"):
        await node.apply(udp_rules(address))

    assert len(net.conntracked) == 1
    assert caplog.text.count("stale UDP flows stay") == 1


async def test_reset_removes_ours_and_nothing_else() -> None:
    net = PaperNet()
    net.restore("*nat\n:DOCKER - [0:0]\n-A OUTPUT -j DOCKER\nCOMMIT\n")
    before = net.save()
    node = node_with(net)
    await node.apply(udp_rules("10.244.1.2"))

    await node.reset()
    await node.reset()

    assert net.save() == before


class TwoKinds:
    """A machine with rules in one, both or none of the two kinds of iptables."""

    def __init__(self, nft: str, legacy: str | None) -> None:
        self._texts = {"iptables-nft-save": nft, "iptables-legacy-save": legacy}

    async def run(self, argv, *, stdin=b"", deadline_s=30.0):  # type: ignore[no-untyped-def]
        from cubernetes.host.command import Completed

        text = self._texts[argv[0]]
        if text is None:
            raise CommandFailed(argv, None, "No such file or directory")
        return Completed(text.encode(), b"")


OTHERS = "*nat\n-A OUTPUT -j DOCKER\nCOMMIT\n"
OURS = "*nat\n:CUBE-SERVICES - [0:0]\nCOMMIT\n"


@pytest.mark.parametrize(
    ("nft", "legacy", "chosen"),
    [
        ("", "", ANY),
        ("", None, ANY),
        (OTHERS, "", ANY),
        ("", OTHERS, LEGACY),
        (OTHERS, OTHERS, ANY),
        (OURS, OTHERS, NFT),
        (OTHERS, OURS, LEGACY),
    ],
)
async def test_the_iptables_that_is_in_use_is_kept(
    nft: str, legacy: str | None, chosen: object
) -> None:
    assert await tools_in_use(TwoKinds(nft, legacy)) == chosen


async def test_a_chosen_iptables_is_not_asked_for() -> None:
    assert await tools_in_use(PaperNet(), "legacy") == LEGACY
    assert await tools_in_use(PaperNet(), "nft") == NFT
