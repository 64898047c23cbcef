"""The snapshot: what was added up step by step is what there is."""

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.podspec.hostport import HostPort
from cubernetes.scheduling.nodeinfo import NodeFacts, NodeInfo, NodeUsage, PodRequests
from cubernetes.scheduling.plan import Placement, Unschedulable, place
from cubernetes.scheduling.plugin import Filter, News
from cubernetes.scheduling.snapshot import REMEMBERED_REQUESTS_MAX, Snapshot

N1 = NodeFacts("n1", amounts={"cpu": 1000}, pod_count=10)
ASKED = PodRequests(amounts=(("cpu", 600),), ports=(HostPort("TCP", 80),))

UIDS = st.sampled_from("abcd")
NODES = st.sampled_from(["n1", "n2"])
AMOUNTS = st.sampled_from([(), (("cpu", 1),), (("cpu", 2), ("gpu", 1)), (("gpu", 3),)])
REQUESTS = st.builds(PodRequests, AMOUNTS, st.just((HostPort("TCP", 1),)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("see"), UIDS, NODES, REQUESTS),
        st.tuples(st.just("assume"), UIDS, NODES, REQUESTS),
        st.tuples(st.just("confirm"), UIDS, NODES),
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
        self.seen: dict[str, tuple[str, PodRequests]] = {}
        self.assumed: dict[str, tuple[str, PodRequests]] = {}
        self.nodes: set[str] = set()

    def see(self, uid: str, node: str, requests: PodRequests) -> None:
        self.snapshot.see(uid, node, requests)
        self.assumed.pop(uid, None)
        self.seen[uid] = (node, requests)

    def assume(self, uid: str, node: str, requests: PodRequests) -> None:
        if uid not in self.seen | self.assumed:
            self.snapshot.assume(uid, node, requests)
            self.assumed[uid] = (node, requests)

    def confirm(self, uid: str, node: str) -> None:
        is_there = self.assumed.get(uid, ("",))[0] == node
        assert self.snapshot.confirm(uid, node) == is_there
        if is_there:
            self.seen[uid] = self.assumed.pop(uid)

    def refuse(self, uid: str) -> None:
        assert self.snapshot.refuse(uid) == (self.assumed.pop(uid, None) is not None)

    def remove(self, uid: str) -> None:
        self.snapshot.remove(uid)
        self.seen.pop(uid, None)
        self.assumed.pop(uid, None)

    def add_node(self, node: str) -> None:
        self.snapshot.set_node(NodeFacts(node))
        self.nodes.add(node)

    def remove_node(self, node: str) -> None:
        self.snapshot.remove_node(node)
        self.nodes.discard(node)

    def usage(self, node: str) -> NodeUsage:
        usage = NodeUsage()
        for at, requests in (self.seen | self.assumed).values():
            if at == node:
                usage = usage.plus(requests)
        return usage


@given(STEPS)
def test_loads_are_the_sums_of_what_counts_whatever_came_in_which_order(
    steps: list[tuple[str, ...]],
) -> None:
    ledger = Ledger()
    for verb, *facts in steps:
        getattr(ledger, verb)(*facts)

    assert list(ledger.snapshot.names_after("")) == sorted(ledger.nodes)
    for name in ledger.nodes:
        node = ledger.snapshot.node(name)
        assert node is not None
        assert node.usage == ledger.usage(name)


def test_an_assumed_pod_counts_at_once_and_not_twice_when_it_is_seen() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.assume("a", "n1", ASKED)
    assert not isinstance(place(ASKED, snapshot, ""), Placement)
    assert snapshot.assumed("a") == "n1"

    assert snapshot.see("a", "n1", ASKED) is False
    node = snapshot.node("n1")
    assert node is not None
    assert node.usage.amounts == {"cpu": 600}
    assert snapshot.assumed("a") == ""


def test_what_is_confirmed_is_as_what_is_seen() -> None:
    seen, confirmed = Snapshot(), Snapshot()
    for one in (seen, confirmed):
        one.set_node(N1)
        one.assume("a", "n1", ASKED)
    assert seen.see("a", "n1", ASKED) is False
    assert confirmed.confirm("a", "n1") is True

    assert confirmed.on("n1") == seen.on("n1")
    assert confirmed.there(["a"]) == seen.there(["a"])
    assert confirmed.assumed("a") == ""
    assert confirmed.refuse("a") is False
    assert confirmed.remove("a") is True
    assert place(ASKED, confirmed, "") == Placement("n1")


def test_only_what_is_assumed_there_is_confirmed() -> None:
    snapshot = Snapshot()
    snapshot.assume("a", "n1", ASKED)

    assert snapshot.confirm("b", "n1") is False
    assert snapshot.confirm("a", "n2") is False
    assert snapshot.assumed("a") == "n1"
    assert snapshot.confirm("a", "n1") is True
    assert snapshot.confirm("a", "n1") is False


def test_a_refused_binding_gives_the_room_back() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.assume("a", "n1", ASKED)
    place(ASKED, snapshot, "")

    assert snapshot.refuse("a") is True

    assert place(ASKED, snapshot, "") == Placement("n1")


def test_what_was_seen_is_not_taken_back_by_a_late_refusal() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    snapshot.see("a", "n1", ASKED)

    assert snapshot.refuse("a") is False
    node = snapshot.node("n1")
    assert node is not None
    assert node.usage.pod_count == 1


def test_a_heartbeat_that_changes_nothing_is_no_news() -> None:
    snapshot = Snapshot()

    assert snapshot.set_node(N1) is True
    assert snapshot.set_node(N1) is False
    assert snapshot.set_node(N1._replace(is_ready=False)) is True


def test_whether_room_has_grown_is_told() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)

    assert snapshot.see("a", "n1", ASKED) is False
    assert snapshot.see("a", "n1", ASKED) is False
    assert snapshot.see("a", "n1", ASKED._replace(amounts=(("cpu", 100),))) is True
    assert snapshot.see("a", "n2", ASKED) is True
    assert snapshot.remove("a") is True
    assert snapshot.remove("a") is False


class CountingFilter:
    """A filter that refuses what is too big, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, requests: PodRequests, node: NodeInfo) -> str:
        self.asked.append(node.facts.name)
        return "is too small" if node.free("cpu") < dict(requests.amounts)["cpu"] else ""


def test_a_node_is_asked_once_by_equal_pods_and_again_when_it_has_changed() -> None:
    snapshot, ask = Snapshot(), CountingFilter()
    asking = [Filter(ask, News.AMOUNTS)]
    for name in ("n1", "n2"):
        snapshot.set_node(N1._replace(name=name))
    big = PodRequests(amounts=(("cpu", 2000),))

    for _ in range(100):
        assert place(big, snapshot, "", asking) == Unschedulable(
            {"n1": "is too small", "n2": "is too small"}
        )
    assert ask.asked == ["n1", "n2"]
    snapshot.set_node(N1._replace(name="n2", amounts={"cpu": 2000}))
    assert place(big, snapshot, "", asking) == Placement("n2")
    assert ask.asked == ["n1", "n2", "n2"]


def test_of_a_node_that_is_gone_no_reason_is_told() -> None:
    snapshot = Snapshot()
    for name in ("n1", "n2"):
        snapshot.set_node(N1._replace(name=name))
    big = PodRequests(amounts=(("cpu", 2000),))
    place(big, snapshot, "")

    snapshot.remove_node("n1")

    verdict = place(big, snapshot, "")
    assert isinstance(verdict, Unschedulable)
    assert list(verdict.reasons) == ["n2"]


def test_remembered_refusals_are_bounded() -> None:
    snapshot = Snapshot()
    snapshot.set_node(N1)
    for more in range(REMEMBERED_REQUESTS_MAX * 2):
        place(PodRequests(amounts=(("cpu", 2000 + more),)), snapshot, "")

    assert len(snapshot._refusals) == REMEMBERED_REQUESTS_MAX
