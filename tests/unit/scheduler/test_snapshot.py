"""The snapshot: what was added up step by step is what there is."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.hostport import HostPort
from scheduler.plan import Placement, Unschedulable, place
from scheduler.seat import Demand, Facts, Load, Seat
from scheduler.snapshot import REMEMBERED_DEMANDS, Snapshot

N1 = Facts("n1", cpu_milli=1000, pod_count=10)
DEMAND = Demand(cpu_milli=600, ports=(HostPort("TCP", 80),))

UIDS = st.sampled_from("abcd")
NODES = st.sampled_from(["n1", "n2"])
DEMANDS = st.builds(Demand, st.integers(0, 3), st.integers(0, 3), st.just((HostPort("TCP", 1),)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("see"), UIDS, NODES, DEMANDS),
        st.tuples(st.just("assume"), UIDS, NODES, DEMANDS),
        st.tuples(st.just("refuse"), UIDS),
        st.tuples(st.just("remove"), UIDS),
        st.tuples(st.just("add_node"), NODES),
        st.tuples(st.just("remove_node"), NODES),
    ),
    max_size=40,
)


class Ledger:
    """The same story told to a snapshot, and written down without any arithmetic."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.seen: dict[str, tuple[str, Demand]] = {}
        self.assumed: dict[str, tuple[str, Demand]] = {}
        self.nodes: set[str] = set()

    def see(self, uid: str, node: str, demand: Demand) -> None:
        self.snapshot.see(uid, node, demand)
        self.assumed.pop(uid, None)
        self.seen[uid] = (node, demand)

    def assume(self, uid: str, node: str, demand: Demand) -> None:
        if uid not in self.seen | self.assumed:
            self.snapshot.assume(uid, node, demand)
            self.assumed[uid] = (node, demand)

    def refuse(self, uid: str) -> None:
        assert self.snapshot.refuse(uid) == (self.assumed.pop(uid, None) is not None)

    def remove(self, uid: str) -> None:
        self.snapshot.remove(uid)
        self.seen.pop(uid, None)
        self.assumed.pop(uid, None)

    def add_node(self, node: str) -> None:
        self.snapshot.set_node(Facts(node))
        self.nodes.add(node)

    def remove_node(self, node: str) -> None:
        self.snapshot.remove_node(node)
        self.nodes.discard(node)

    def load(self, node: str) -> Load:
        load = Load()
        for at, demand in (self.seen | self.assumed).values():
            if at == node:
                load = load.plus(demand)
        return load


@given(STEPS)
def test_loads_are_the_sums_of_what_counts_whatever_came_in_which_order(
    steps: list[tuple[str, ...]],
) -> None:
    ledger = Ledger()
    for verb, *facts in steps:
        getattr(ledger, verb)(*facts)

    assert list(ledger.snapshot.names_after("")) == sorted(ledger.nodes)
    for node in ledger.nodes:
        seat = ledger.snapshot.seat(node)
        assert seat is not None
        assert seat.load == ledger.load(node)


def test_an_assumed_pod_counts_at_once_and_not_twice_when_it_is_seen() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.assume("a", "n1", DEMAND)
    assert not isinstance(place(DEMAND, snapshot, ""), Placement)
    assert snapshot.assumed("a") == "n1"

    assert snapshot.see("a", "n1", DEMAND) is False
    seat = snapshot.seat("n1")
    assert seat is not None
    assert seat.load.cpu_milli == 600
    assert snapshot.assumed("a") == ""


def test_a_refused_binding_gives_the_room_back() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.assume("a", "n1", DEMAND)
    place(DEMAND, snapshot, "")

    assert snapshot.refuse("a") is True

    assert place(DEMAND, snapshot, "") == Placement("n1")


def test_what_was_seen_is_not_taken_back_by_a_late_refusal() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.see("a", "n1", DEMAND)

    assert snapshot.refuse("a") is False
    seat = snapshot.seat("n1")
    assert seat is not None
    assert seat.load.pod_count == 1


def test_a_heartbeat_that_changes_nothing_is_no_news() -> None:
    snapshot = Snapshot()

    assert snapshot.set_node(N1) is True
    assert snapshot.set_node(N1) is False
    assert snapshot.set_node(N1._replace(is_ready=False)) is True


def test_whether_room_has_grown_is_told() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)

    assert snapshot.see("a", "n1", DEMAND) is False
    assert snapshot.see("a", "n1", DEMAND) is False
    assert snapshot.see("a", "n1", DEMAND._replace(cpu_milli=100)) is True
    assert snapshot.see("a", "n2", DEMAND) is True
    assert snapshot.remove("a") is True
    assert snapshot.remove("a") is False


class CountingFilter:
    """A filter that refuses what is too big, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, demand: Demand, seat: Seat) -> str:
        self.asked.append(seat.facts.name)
        return "is too small" if demand.cpu_milli > seat.facts.cpu_milli else ""


def test_a_node_is_asked_once_by_equal_pods_and_again_when_it_has_changed() -> None:
    snapshot, ask = Snapshot(), CountingFilter()
    for name in ("n1", "n2"):
        snapshot.set_node(N1._replace(name=name))
    big = Demand(cpu_milli=2000)

    for _ in range(100):
        assert place(big, snapshot, "", [ask]) == Unschedulable(
            {"n1": "is too small", "n2": "is too small"}
        )
    assert ask.asked == ["n1", "n2"]
    snapshot.set_node(N1._replace(name="n2", cpu_milli=2000))
    assert place(big, snapshot, "", [ask]) == Placement("n2")
    assert ask.asked == ["n1", "n2", "n2"]


def test_of_a_node_that_is_gone_no_reason_is_told() -> None:
    snapshot = Snapshot()
    for name in ("n1", "n2"):
        snapshot.set_node(N1._replace(name=name))
    big = Demand(cpu_milli=2000)
    place(big, snapshot, "")

    snapshot.remove_node("n1")

    verdict = place(big, snapshot, "")
    assert isinstance(verdict, Unschedulable)
    assert list(verdict.reasons) == ["n2"]


def test_remembered_refusals_are_bounded() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    for cpu_milli in range(REMEMBERED_DEMANDS * 2):
        place(Demand(cpu_milli=2000 + cpu_milli), snapshot, "")

    assert len(snapshot._refusals) == REMEMBERED_DEMANDS
