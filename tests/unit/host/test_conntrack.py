"""Which flows are forgotten when what is behind an address changes."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.command import CommandFailed
from cubernetes.host.packetfilter.conntrack import FLOW_MAX, Flows
from cubernetes.host.packetfilter.flows import Flow, Front, argv_for, argvs_for_address, stale_flows
from tests.papernet import PaperNet

FRONT = Front("10.96.0.53", "53")
ENDPOINTS = st.frozensets(st.sampled_from(["10.244.1.2", "10.244.1.3", "10.244.2.2"]))
SIDES = st.dictionaries(st.builds(Front, st.just("10.96.0.53"), st.sampled_from("12")), ENDPOINTS)


@given(SIDES)
def test_where_nothing_changes_nothing_is_forgotten(side: dict[Front, frozenset[str]]) -> None:
    assert stale_flows(side, dict(side)) == []


@given(SIDES, SIDES)
def test_no_flow_is_left_at_an_endpoint_that_is_gone_and_none_is_taken_from_one_that_stays(
    before: dict[Front, frozenset[str]], after: dict[Front, frozenset[str]]
) -> None:
    stale = stale_flows(before, after)
    for front in before.keys() | after.keys():
        had, has = before.get(front, frozenset()), after.get(front, frozenset())
        forgotten = {endpoint for endpoint in had if Flow(front, endpoint) in stale}
        if Flow(front) in stale:
            forgotten = set(had)
        assert had - has <= forgotten
        assert not forgotten & has
        # What was sent before anybody answered is remembered as going nowhere.
        assert not (has and not had) or Flow(front) in stale


def test_the_commands_name_the_flows() -> None:
    assert " ".join(argv_for(Flow(FRONT, "10.244.1.2"))) == (
        "conntrack -D -p udp --orig-dst 10.96.0.53 --orig-port-dst 53 --dst-nat 10.244.1.2"
    )
    assert " ".join(argv_for(Flow(Front("10.96.0.0/16")))) == (
        "conntrack -D -p udp --orig-dst 10.96.0.0/16"
    )
    assert [" ".join(argv) for argv in argvs_for_address("10.244.1.2")] == [
        "conntrack -D -p udp --orig-src 10.244.1.2",
        "conntrack -D -p udp --reply-src 10.244.1.2",
    ]


async def test_many_flows_are_forgotten_by_one_command_for_each_address() -> None:
    net = PaperNet()
    many = [Flow(Front("10.96.0.53", str(port))) for port in range(FLOW_MAX + 1)]
    await Flows(net).forget(many, ["10.96.0.0/16", "192.0.2.1"])

    assert [argv[-1] for argv in net.conntracked] == ["10.96.0.0/16", "192.0.2.1"]


async def test_a_machine_without_the_program_is_asked_once() -> None:
    net = PaperNet()
    net.failures = [CommandFailed(["conntrack"], None, "No such file or directory")]
    flows = Flows(net)
    await flows.forget_address("10.244.1.2")
    await flows.forget([Flow(FRONT)], [])

    assert len(net.conntracked) == 1
