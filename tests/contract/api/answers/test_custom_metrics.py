"""custom.metrics.k8s.io and external.metrics.k8s.io, and which pods a store is told to scrape."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cubernetes.host.web.messages import Identity
from cubernetes.reconcile.readings import Sample, SourceTrouble, Track
from tests.contract.api.world import PODS, StillClock, World, a_pod, a_world

CUSTOM = "/apis/custom.metrics.k8s.io"
HERE = f"{CUSTOM}/v1beta2/namespaces/default"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
RULES = "/api/v1/namespaces/kube-system/configmaps"
MONITOR = Identity("prometheus", ("system:monitoring",))


class Store:
    """Answers each query with what a test has written down."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}
        self.label = "pod"
        self.asked: list[str] = []
        self.is_away = False

    async def samples(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        if self.is_away:
            raise SourceTrouble("connection refused")
        now = StillClock().now()
        return [Sample(one, now, {self.label: name}) for name, one in self.numbers.items()]

    async def tracks(self, query: str) -> Sequence[Track]:
        raise AssertionError(query)

    async def push(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with a_world(samples=store) as one:
        for name in ("one", "two"):
            tree = a_pod(name)
            tree["metadata"]["labels"] = {"app": name}
            await one.call("POST", PODS, tree)
        yield one


async def a_rule(world: World, metric: str, rule: str) -> None:
    body = {"metadata": {"name": "metric-rules"}, "data": {metric: rule}}
    assert (await world.call("POST", RULES, body)).code == 201
    # A read waits until the server has seen what it wrote.
    assert (await world.call("GET", f"{RULES}/metric-rules")).code == 200


async def test_each_pod_tells_its_own_metric(world: World, store: Store) -> None:
    store.numbers = {"one": 1.5, "two": 3.0, "gone": 7.0}
    told = (await world.call("GET", f"{HERE}/pods/*/hits_per_second")).tree
    assert (told["kind"], told["apiVersion"]) == (
        "MetricValueList",
        "custom.metrics.k8s.io/v1beta2",
    )
    assert store.asked == ['sum by (pod) (rate(hits_total{namespace="default"}[30s]))']
    found = [(one["describedObject"]["name"], one["value"]) for one in told["items"]]
    assert found == [("one", "1500m"), ("two", "3")]
    assert told["items"][0]["metric"] == {"name": "hits_per_second"}


async def test_the_older_words_are_spoken_too(world: World, store: Store) -> None:
    store.numbers = {"one": 1.0}
    told = (await world.call("GET", f"{CUSTOM}/v1beta1/namespaces/default/pods/one/hits")).tree
    (one,) = told["items"]
    assert (one["metricName"], one["describedObject"]["kind"]) == ("hits", "Pod")
    assert store.asked == [
        'sum by (pod) (last_over_time(hits{namespace="default",pod="one"}[30s]))'
    ]


async def test_selectors_choose_pods_and_series(world: World, store: Store) -> None:
    store.numbers = {"one": 1.0, "two": 2.0}
    query = {"labelSelector": "app=two", "metricLabelSelector": "path=a"}
    told = (await world.call("GET", f"{HERE}/pods/*/hits", query=query)).tree
    assert [one["describedObject"]["name"] for one in told["items"]] == ["two"]
    assert 'path=~"a"' in store.asked[0]


async def test_a_namespace_has_metrics_of_its_own(world: World, store: Store) -> None:
    store.label, store.numbers = "namespace", {"default": 5.0}
    told = (await world.call("GET", f"{HERE}/metrics/hits")).tree
    assert (told["items"][0]["describedObject"]["kind"], told["items"][0]["value"]) == (
        "Namespace",
        "5",
    )


async def test_what_is_outside_is_told_by_its_rule_alone(world: World, store: Store) -> None:
    asked = f"{EXTERNAL}/namespaces/default/queue_length"
    assert (await world.call("GET", asked)).code == 404
    await a_rule(world, "queue_length", "max(rabbit{$labels})")
    store.numbers = {"": 12.0}
    told = (await world.call("GET", asked, query={"labelSelector": "queue=a"})).tree
    assert (told["kind"], told["items"][0]["value"]) == ("ExternalMetricValueList", "12")
    assert store.asked == ['sum(max(rabbit{queue=~"a"}))']


async def test_discovery_tells_the_groups_that_answer(world: World) -> None:
    async def told() -> list[str]:
        listed = (await world.call("GET", "/apis")).tree["groups"]
        return [one["name"] for one in listed if one["name"].endswith("al.metrics.k8s.io")
                or one["name"].startswith("custom")]  # fmt: skip

    assert await told() == ["custom.metrics.k8s.io"]
    await a_rule(world, "queue_length", "max(rabbit{$labels})")
    assert await told() == ["custom.metrics.k8s.io", "external.metrics.k8s.io"]
    (one,) = (await world.call("GET", EXTERNAL)).tree["resources"]
    assert (one["name"], one["verbs"]) == ("queue_length", ["get"])
    names = [
        one["name"] for one in (await world.call("GET", f"{CUSTOM}/v1beta2")).tree["resources"]
    ]
    assert "pods/*" in names


async def test_what_is_not_there_and_a_store_that_is_away(world: World, store: Store) -> None:
    assert (await world.call("GET", f"{HERE}/pods/one/hits")).code == 404
    assert (await world.call("GET", f"{HERE}/nothings/one/hits")).code == 404
    assert (await world.call("GET", f"{HERE}/pods/*/hits")).tree["items"] == []
    store.is_away = True
    assert (await world.call("GET", f"{HERE}/pods/one/hits")).code == 503
    async with a_world() as bare:
        assert (await bare.call("GET", f"{HERE}/pods/one/hits")).code == 503


async def test_a_node_has_no_business_there(world: World) -> None:
    node = Identity("system:node:n1", ("system:nodes",))
    assert (await world.call("GET", f"{HERE}/pods/*/hits", identity=node)).code == 403


SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "m"}


async def a_scraped_pod(world: World, name: str, annotations: dict[str, str], **spec: Any) -> None:
    tree = a_pod(name, nodeName="n1", **spec)
    tree["metadata"]["annotations"] = annotations
    assert (await world.call("POST", PODS, tree)).code == 201
    status = {"status": {"podIP": "10.244.0.9", "phase": "Running"}}
    assert (await world.call("PATCH", f"{PODS}/{name}/status", status)).code == 200


async def pod_targets(world: World) -> Any:
    return json.loads((await world.call("GET", "/metrics/targets/pods", identity=MONITOR)).body)


async def test_pods_that_ask_for_it_are_scraped(world: World) -> None:
    await a_scraped_pod(world, "scraped", SCRAPED)
    (told,) = await pod_targets(world)
    assert told == {
        "targets": ["10.244.0.9:8080"],
        "labels": {
            "namespace": "default", "pod": "scraped", "node": "n1",
            "__metrics_path__": "/m", "__scrape_interval__": "10s",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"prometheus.io/scrape": "false"},
        {"prometheus.io/scheme": "https"},
        {"prometheus.io/port": "70000"},
        {"prometheus.io/port": "8080@evil"},
        {"prometheus.io/path": "/" * 2000},
    ],
)
async def test_pods_that_do_not_or_cannot_are_left_alone(
    world: World, change: dict[str, str]
) -> None:
    await a_scraped_pod(world, "scraped", {**SCRAPED, **change})
    assert await pod_targets(world) == []


async def test_a_pod_on_the_network_of_its_node_is_not_scraped(world: World) -> None:
    await a_scraped_pod(world, "scraped", SCRAPED, hostNetwork=True)
    assert await pod_targets(world) == []
