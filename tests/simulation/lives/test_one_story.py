"""One text finds a pod's story in the logs of all programs, from the request to the container."""

import asyncio
import logging
from typing import NamedTuple

from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetSpec
from cubernetes.api.core.pod import Pod, PodTemplate, TemplateMeta, is_ready
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.selectors import LabelSelector
from cubernetes.host.log import FACTS
from tests.simulation.calm import CalmCluster, calm_cluster
from tests.simulation.loop import run_simulated

LABELS = {"app": "web"}
CHARS = 13


class Line(NamedTuple):
    """Who said what, and by which facts."""

    said_by: str
    message: str
    facts: dict[str, str]

    @property
    def text(self) -> str:
        return f"{self.said_by}: {self.message} {self.facts}"


class Lines(logging.Handler):
    """Every line of every program, in the order in which they were said."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.all: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        facts = {key: str(value) for key, value in getattr(record, FACTS, {}).items()}
        self.all.append(Line(record.name, record.getMessage(), facts))

    def grep(self, text: str) -> list[Line]:
        return [line for line in self.all if text in line.text]


def is_of(line: Line, said_by: str, message: str, **facts: str) -> bool:
    return (
        line.said_by.startswith(said_by)
        and line.message == message
        and all(wanted in line.facts.get(key, "") for key, wanted in facts.items())
    )


def a_set(replicas: int) -> ReplicaSet:
    spec = PodSpec(containers=(Container(name="main", image="cubernetes/web:1"),))
    template = PodTemplate(metadata=TemplateMeta(labels=LABELS), spec=spec)
    selector = LabelSelector(match_labels=LABELS)
    return ReplicaSet(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=ReplicaSetSpec(replicas=replicas, selector=selector, template=template),
    )


def missing_from(lines: list[Line], chapters: list[tuple[str, str, dict[str, str]]]) -> list[str]:
    """Return the chapters that are not found in lines in this order."""
    rest = iter(lines)
    return [
        f"{said_by}: {message} {facts}"
        for said_by, message, facts in chapters
        if not any(is_of(line, said_by, message, **facts) for line in rest)
    ]


def cause_of(one: Object) -> str:
    return one.metadata.uid[:CHARS]


async def made(cluster: CalmCluster) -> tuple[ReplicaSet, ReplicaSet]:
    """Make a set of one pod, and another beside it that must not get into its story."""
    first = await cluster.user.create(a_set(1))
    other = await cluster.user.create(
        ReplicaSet(
            metadata=ObjectMeta(name="other", namespace="default"),
            spec=ReplicaSetSpec(
                replicas=2,
                selector=LabelSelector(match_labels={"app": "other"}),
                template=PodTemplate(
                    metadata=TemplateMeta(labels={"app": "other"}),
                    spec=PodSpec(containers=(Container(name="main", image="cubernetes/web:1"),)),
                ),
            ),
        )
    )

    def all_run() -> bool:
        pods = cluster.ledger.all(Pod)
        return len(pods) == 3 and all(is_ready(one) for one in pods)

    await cluster.until(all_run)
    return first, other


def test_one_text_tells_a_pods_story_from_the_request_to_the_container_in_order() -> None:
    async def story(lines: Lines) -> tuple[ReplicaSet, ReplicaSet, Pod]:
        async with calm_cluster() as cluster:
            root = logging.getLogger()
            before = root.level
            root.addHandler(lines)
            root.setLevel(logging.INFO)
            try:
                first, other = await made(cluster)
                pod = next(
                    one for one in cluster.ledger.all(Pod) if one.metadata.name.startswith("web-")
                )
                await cluster.user.delete(ReplicaSet, "web", "default")
                await cluster.until(lambda: len(cluster.ledger.all(Pod)) == 2)
                await asyncio.sleep(5)
            finally:
                root.removeHandler(lines)
                root.setLevel(before)
            return first, other, pod

    lines = Lines()
    first, other, pod = run_simulated(story(lines))
    name, uid = pod.metadata.name, pod.metadata.uid
    found = lines.grep(cause_of(first))
    chapters: list[tuple[str, str, dict[str, str]]] = [
        ("apiserver.audit", "request", {"verb": "create", "resource": "replicasets"}),
        ("apiserver.audit", "request", {"verb": "create", "resource": "pods"}),
        ("apiserver.audit", "request", {"resource": "pods/binding"}),
        ("kubelet", "step begun", {"step": "StartSandbox", "pod": uid}),
        ("kubelet", "step begun", {"step": "StartContainer(name='main'", "pod": uid}),
        ("cubernetes.reconcile.records", "event", {"reason": "Started", "about": name}),
        ("apiserver.audit", "request", {"resource": "pods/status", "path": name}),
        ("apiserver.audit", "request", {"verb": "delete", "resource": "replicasets"}),
        ("kubelet", "step begun", {"step": "Stop(", "pod": uid}),
        ("kubelet", "nothing left of a pod", {"pod": uid}),
        ("apiserver.audit", "request", {"verb": "delete", "resource": "pods", "path": name}),
    ]
    assert missing_from(found, chapters) == [], "\n".join(line.text for line in found)
    # Others may hear of a write before its author has the answer: these stand anywhere.
    answered: list[tuple[str, str, dict[str, str]]] = [
        ("cubernetes.reconcile.execute", "created", {"object": name}),
        ("scheduler.run", "pod bound", {"pod": name, "node": pod.spec.node_name}),
        ("cubernetes.reconcile.execute", "deleted", {"object": name}),
    ]
    assert [one for one in answered if missing_from(found, [one])] == []
    assert all(line.facts.get("cause") == cause_of(first) for line in found)
    # The story of another is not in it, and nothing that was said of this one is missing.
    assert not [line for line in found if "other" in line.text]
    assert cause_of(first) != cause_of(other)
    about = [line for line in lines.all if name in line.text and line.facts.get("code") != "404"]
    writes = [line for line in about if line.facts.get("verb") not in ("get", "list", "watch")]
    assert [line.text for line in writes if line not in found] == []
