"""Service rules against the real thing: the parser and the packets, with both kinds of iptables."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.host.packetfilter.generation import generation
from cubernetes.host.packetfilter.iptables import NFT, Iptables, Tools, tools_in_use
from cubernetes.host.packetfilter.ruleset import FoundRules, RuleSet, restore_text
from proxy.reset import reset
from proxy.services.apply import ServiceRules
from proxy.services.compile import OWNER, rules_for
from tests.contract.network.wires import (
    NODE_ADDRESS,
    PODS,
    Wires,
    reason_to_skip,
)
from tests.contract.proxy.worlds import FOREIGN, WEB, web_on
from tests.given import a_service, a_slice, an_endpoint
from tests.unit.proxy.services.clusters import FACTS
from tests.unit.proxy.services.doors import a_door, both
from tests.unit.proxy.services.doors import rules as rules_of_door

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]


def rules_on(*pods: str) -> RuleSet:
    return rules_for(*web_on(*pods), FACTS)


@pytest.fixture
async def net(wires: Wires, tools: Tools) -> AsyncIterator[Wires]:
    """Wires with servers, on a strict host that has rules of its own."""
    await wires.node.run([tools.restore, "--noflush"], stdin=FOREIGN.encode())
    async with wires.serving():
        yield wires


def kernel(wires: Wires, tools: Tools) -> Iptables:
    return Iptables(wires.node, tools, OWNER)


def node(wires: Wires, tools: Tools) -> ServiceRules:
    return ServiceRules(wires.node, kernel(wires, tools), str(FACTS.service_range))


async def saved(wires: Wires, tools: Tools) -> list[str]:
    """Return what the node holds, without comments and without packet counters."""
    text = (await wires.node.run([tools.save])).stdout.decode()
    return [
        line.partition(" [")[0] if line.startswith(":") else line
        for line in text.splitlines()
        if not line.startswith("#")
    ]


async def test_the_real_parser_takes_the_text(wires: Wires, tools: Tools) -> None:
    text = restore_text(FoundRules(), rules_on(*PODS))

    await wires.node.run([tools.restore, "--test", "--noflush"], stdin=text.encode())

    assert "CUBE-" not in "".join(await saved(wires, tools))


@pytest.mark.parametrize(
    "name", ['a"\n-I INPUT -p tcp --dport 2379 -j ACCEPT\n', "a\r\nCOMMIT", "é"]
)
async def test_t30_the_real_parser_finds_no_rule_that_a_name_smuggled_in(
    wires: Wires, tools: Tools, name: str
) -> None:
    service = replaced(a_service(), metadata=ObjectMeta(name=name, namespace="default"))
    pods = a_slice(service=name, endpoints=[an_endpoint("10.244.1.2"), an_endpoint(name)])

    await kernel(wires, tools).apply(rules_for([service], [pods], FACTS))

    lines = await saved(wires, tools)
    # The first is ours: what nobody serves is refused.
    assert {line for line in lines if line.startswith("-A INPUT")} == {"-A INPUT -j CUBE-REJECT"}
    assert not [line for line in lines if "2379" in line]


async def test_the_kernel_gives_rules_back_as_they_were_written(wires: Wires, tools: Tools) -> None:
    wanted = rules_on(*PODS)
    await kernel(wires, tools).apply(wanted)

    assert await kernel(wires, tools).read() == FoundRules(wanted)
    assert not (await kernel(wires, tools).check(wanted)).is_written


async def test_the_kernel_gives_the_rules_of_every_door_back_as_they_were_written(
    wires: Wires, tools: Tools
) -> None:
    """Else they would be taken for somebody else's change, and written again for ever."""
    sources = ("198.51.100.0/24", "0.0.0.0/0")
    doors = [
        a_door(external_ips=("198.51.100.7",), session_affinity="ClientIP"),
        a_door("LoadBalancer", load_balancer_source_ranges=sources),
        a_door("LoadBalancer", external_traffic_policy="Local", internal_traffic_policy="Local"),
    ]
    for door in doors:
        for endpoints in (both(), []):
            wanted = rules_of_door(door, endpoints)
            await kernel(wires, tools).check(wanted)

            assert await kernel(wires, tools).read() == FoundRules(wanted)


async def test_the_kind_of_iptables_that_holds_our_rules_is_found_again(
    wires: Wires, tools: Tools
) -> None:
    await kernel(wires, tools).apply(rules_on())

    assert await tools_in_use(wires.node) == tools


async def test_w45_foreign_rules_are_the_same_before_and_after(net: Wires, tools: Tools) -> None:
    before = await saved(net, tools)
    rules = node(net, tools)
    for pods in (("pod1", "pod2"), ("pod3",), (), ("pod1", "pod2", "pod3")):
        await rules.apply(rules_on(*pods))

    during = await saved(net, tools)
    await reset(net.node)

    assert [line for line in during if "CUBE-" not in line or "CUBE-like" in line] == before
    assert await saved(net, tools) == before


async def test_a_foreign_flush_is_repaired(net: Wires, tools: Tools) -> None:
    rules, wanted = node(net, tools), rules_on("pod1")
    await rules.apply(wanted)
    before = await saved(net, tools)
    await net.node.run([tools.restore], stdin=b"*nat\nCOMMIT\n")

    assert (await rules.check(wanted)).is_written
    assert await net.ask("node", WEB) == ("pod1", NODE_ADDRESS)
    assert [line for line in before if "CUBE-" in line] == [
        line for line in await saved(net, tools) if "CUBE-" in line
    ]


async def test_the_generation_of_a_real_kernel_moves_with_every_change_and_with_no_other(
    wires: Wires,
) -> None:
    def now() -> int | None:
        return wires.call("node", generation)

    rules = Iptables(wires.node, NFT, OWNER, now)
    await rules.apply(rules_on("pod1"))
    await rules.check(rules_on("pod1"))
    before = now()
    assert before is not None
    ran = len(wires.node.ran)
    assert not (await rules.check(rules_on("pod1"))).is_written
    assert len(wires.node.ran) == ran
    assert now() == before
    await wires.node.run(["iptables-nft", "-t", "nat", "-F", "PREROUTING"])

    assert now() != before
    assert (await rules.check(rules_on("pod1"))).is_written
