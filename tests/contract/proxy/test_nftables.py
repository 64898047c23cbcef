"""The nftables backend against a real kernel: drift, people's programs, and what a look costs."""

from collections.abc import Iterable

import pytest

from cubernetes.host.command import CommandFailed
from cubernetes.host.packetfilter.nftables import TableState, new_table, no_chain
from cubernetes.host.packetfilter.nftsocket import NftSocket, TransactionRefused
from tests.contract.network.wires import PODS, Wires, reason_to_skip
from tests.contract.proxy.worlds import WEB, Proxied, kernel_of, opener, web_on
from tests.given import an_endpoint
from tests.unit.proxy.services.doors import FACTS, a_door, both
from tests.unit.proxy.services.doors import world as world_of_door

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run"),
]


@pytest.fixture
def node(wires: Wires) -> Proxied:
    return Proxied("nftables", wires, FACTS)


async def listed(wires: Wires) -> str:
    """Return what people see of all rules."""
    return (await wires.node.run(["nft", "list", "ruleset"])).stdout.decode()


@pytest.mark.parametrize(
    "harm",
    [
        "delete table ip cube-proxy",
        "flush chain ip cube-proxy services",
        "flush chain ip cube-proxy address-all-1",
        "flush chain ip cube-proxy refusals",
        "flush map ip cube-proxy fronts",
        "flush map ip cube-proxy slots",
        "flush set ip cube-proxy loops",
        "add chain ip cube-proxy stranger",
        "insert rule ip cube-proxy services drop",
        "add element ip cube-proxy loops { 192.0.2.9 . 192.0.2.9 }",
        "flush chain ip filter CUBE-FORWARD",
    ],
)
async def test_what_somebody_changed_is_repaired_by_the_next_look(
    wires: Wires, node: Proxied, harm: str
) -> None:
    async with wires.serving():
        await node.serve(web_on("pod1"))
        await node.backend.check()
        right = await listed(wires)
        await wires.node.run(["nft", *harm.split()])

        assert (await node.backend.check()).is_written
        assert sorted((await listed(wires)).splitlines()) == sorted(right.splitlines())
        assert (await wires.ask("node", WEB))[0] == "pod1"
        assert not (await node.backend.check()).is_written


async def test_a_transaction_that_the_kernel_refuses_changes_nothing_and_is_followed_by_a_reading(
    wires: Wires, node: Proxied
) -> None:
    await node.serve(web_on("pod1"))
    await wires.node.run(["nft", "delete", "table", "ip", "cube-proxy"])
    with pytest.raises(CommandFailed, match="No such file or directory: message 1 of"):
        await node.serve(web_on("pod2"))

    assert (await node.backend.apply()).is_written
    async with wires.serving():
        assert (await wires.ask("node", WEB))[0] == "pod2"


async def test_programs_of_people_print_every_kind_of_rule(wires: Wires, node: Proxied) -> None:
    ranges = ("203.0.113.0/24", "0.0.0.0/0")
    doors = [
        a_door("LoadBalancer", external_ips=("198.51.100.7",), load_balancer_source_ranges=ranges),
        a_door(external_traffic_policy="Local", internal_traffic_policy="Local"),
        a_door(session_affinity="ClientIP", protocol="UDP"),
    ]
    for door in doors:
        for endpoints in (both(), both()[1:], []):
            await node.serve(world_of_door(door, endpoints))
            text = await listed(wires)
            assert "chain services" in text
    await node.serve(world_of_door(a_door(), both()))

    text = await listed(wires)
    assert "10.96.0.10 . tcp . 80 : goto strangers-address-all-2" in text
    assert "tcp . 30080 : goto always-node-all-2" in text
    assert "10.96.0.10 . tcp . 80 . 0x00000001 : 10.244.2.7 . 8080" in text
    assert "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @slots" in text
    assert "ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000" in text


class Counted(NftSocket):
    """Counts what the kernel is asked."""

    read_count = 0

    def read(self, table: str, sets: Iterable[str]) -> TableState | None:
        self.read_count += 1
        return super().read(table, sets)


async def test_a_look_when_nothing_changed_reads_nothing_and_runs_no_command(
    wires: Wires,
) -> None:
    kernel = Counted(opener(wires))
    node = Proxied("nftables", wires, FACTS, kernel)
    await node.serve(web_on("pod1"))
    # Once to know the table, once to know the rules beside it.
    for _ in range(2):
        await node.backend.check()
    before, ran = kernel.read_count, len(wires.node.ran)
    for pods in (("pod1",), ("pod1", "pod2"), ("pod2",)):
        await node.serve(web_on(*pods))
        await node.backend.check()

    assert kernel.read_count == before
    # Our own changes move the generation as well: they are no news. What ran is of UDP flows.
    assert {argv[0] for argv in wires.node.ran[ran:]} == {"conntrack"}


async def test_ways_that_nobody_is_led_by_any_more_go(wires: Wires, node: Proxied) -> None:
    sticky = a_door(session_affinity="ClientIP", external_traffic_policy="Local")
    endpoints = [an_endpoint(PODS["pod1"], node="n1")]
    await node.serve(([], []))
    before = await listed(wires)
    await node.serve(world_of_door(sticky, endpoints))
    assert await listed(wires) != before

    await node.serve(([], []))

    assert sorted((await listed(wires)).splitlines()) == sorted(before.splitlines())


def test_a_batch_is_done_whole_or_not_at_all(wires: Wires) -> None:
    kernel = kernel_of(wires)
    with pytest.raises(TransactionRefused, match=r"message 2 of 2, kind 5, cube-test absent"):
        kernel.transact([new_table("cube-test"), no_chain("cube-test", "absent")])
    assert not kernel.has("cube-test")

    kernel.transact([new_table("cube-test")])

    assert kernel.has("cube-test")
