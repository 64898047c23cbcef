"""The history of an autoscaler: what the store tells, of this one alone."""

from collections.abc import AsyncIterator, Sequence

import pytest

from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.api.meta import Ref
from cubernetes.autoscaling.record import numbers_of
from cubernetes.reconcile.readings import Sample, SourceTrouble, Track
from tests.contract.api.world import StillClock, World, a_world

PLACE = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
HPA = Ref("HorizontalPodAutoscaler", "default", "web")
AT = StillClock().now()
ENTRY = Entry(at=AT, replicas=1, wanted=2, minimum=1, maximum=5, reason="Rescaled",
              measured=(Measured(metric="cpu", target=50, ready=1, proposed=2),))  # fmt: skip


class Store:
    """Tells one entry, or refuses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    async def samples(self, query: str) -> Sequence[Sample]:
        return []

    async def push(self, text: str) -> None:
        raise AssertionError(text)

    async def tracks(self, query: str) -> Sequence[Track]:
        self.asked.append(query)
        if self.is_away:
            raise SourceTrouble("connection refused")
        return [Track(one.labels, [(AT.timestamp(), one.value)]) for one in numbers_of(HPA, ENTRY)]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with a_world(samples=store) as one:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"scaleTargetRef": reference, "maxReplicas": 5}
        await one.call("POST", PLACE, {"metadata": {"name": "web"}, "spec": spec})
        yield one


async def test_what_was_decided_is_told_with_its_inputs(world: World, store: Store) -> None:
    told = (await world.call("GET", f"{PLACE}/web/history", query={"sinceSeconds": "60"})).tree
    assert told["kind"] == "AutoscalerHistory"
    (one,) = told["entries"]
    assert (one["replicas"], one["wanted"], one["reason"]) == (1, 2, "Rescaled")
    assert one["measured"][0]["proposed"] == 2
    assert store.asked == [
        'cube_autoscaler_decision{kind="HorizontalPodAutoscaler",namespace="default",'
        'name="web",pod=""}[60s]'
    ]


async def test_what_cannot_be_told_is_refused(world: World, store: Store) -> None:
    assert (await world.call("GET", f"{PLACE}/nobody/history")).code == 404
    for since in ("-1", "many", "99999999"):
        query = {"sinceSeconds": since}
        assert (await world.call("GET", f"{PLACE}/web/history", query=query)).code in (400, 422)
    store.is_away = True
    answer = await world.call("GET", f"{PLACE}/web/history")
    assert (answer.code, "connection refused" in answer.tree["message"]) == (503, True)
