"""Whether the cluster is as wanted: what is asked once the world is calm again."""

from collections import Counter
from collections.abc import Iterator, Sequence

from controllers.deployments.rollout import bare
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.revisions import REVISION
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import COMPLETE, Job
from cubernetes.api.condition import is_true
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.node import is_ready as is_node_ready
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import SERVICE_LABEL, EndpointSlice
from cubernetes.api.meta import Object
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.api.selectors import Selector, equal_to
from tests.simulation.judges.laws import is_movable
from tests.simulation.judges.ledger import Ledger, is_alive
from tests.simulation.machines import SimMachine


def disagreements(ledger: Ledger, machines: Sequence[SimMachine]) -> Iterator[str]:
    """Yield everything that is not yet as it is wanted."""
    pods = ledger.all(Pod)
    nodes = {node.metadata.name: node for node in ledger.all(Node)}
    for machine in machines:
        node = nodes.get(machine.name)
        if node is None or not is_node_ready(node):
            yield f"node {machine.name} is not ready"
        bound = sorted(
            pod.metadata.uid
            for pod in pods
            if pod.spec.node_name == machine.name and not is_finished(pod)
        )
        runs = sorted({uid for uid, _ in machine.running()})
        if runs != bound:
            yield f"{machine.name} runs {runs}, bound to it are {bound}"
    for pod in pods:
        if not is_ready(pod) and not is_finished(pod):
            yield f"{pod.ref} is not ready: {pod.status.phase}"
        if pod.spec.node_name not in nodes:
            yield f"{pod.ref} is on no node: {pod.spec.node_name!r}"
    yield from _rooms(ledger)
    yield from _sets(ledger, pods)
    yield from _numbered(ledger, pods)
    yield from _daemons(ledger, pods)
    yield from _tasks(ledger, pods)
    yield from _rollouts(ledger)
    yield from _services(ledger, pods)
    yield from _budgets(ledger, pods)
    yield from _schedules(ledger)
    yield from ledger.laws.leaks()
    if ledger.laws.is_fair:
        yield from _evenness(ledger, pods)


def _rooms(ledger: Ledger) -> Iterator[str]:
    rooms = {one.metadata.name: one for one in ledger.all(Namespace)}
    for room in rooms.values():
        if room.metadata.is_deleted:
            yield f"{room.ref} is still going"
    for kind in (
        Pod,
        Service,
        ReplicaSet,
        Deployment,
        StatefulSet,
        DaemonSet,
        Job,
        EndpointSlice,
        PodDisruptionBudget,
        CronJob,
        ResourceQuota,
    ):
        for one in ledger.all(kind):
            if one.metadata.namespace not in rooms:
                yield f"{one.ref} is in no namespace"


def _sets(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    for one in ledger.all(ReplicaSet):
        alive = sum(is_alive(pod, one.metadata.uid) for pod in pods)
        if alive != one.spec.replicas:
            yield f"{one.ref} has {alive} of {one.spec.replicas} pods"
        status = one.status
        told = (status.replicas, status.ready_replicas, status.observed_generation)
        if told != (alive, alive, one.metadata.generation):
            yield f"{one.ref} tells {told} with {alive} pods, generation {one.metadata.generation}"
    every = [one for kind in (ReplicaSet, StatefulSet, DaemonSet) for one in ledger.all(kind)]
    owned = sum(is_alive(pod, one.metadata.uid) for one in every for pod in pods)
    others = sum(_is_of(pod, Job) for pod in pods)
    if owned + others != len(pods):
        yield f"{len(pods) - owned - others} pods belong to nobody"


def _numbered(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    for one in ledger.all(StatefulSet):
        meta, status = one.metadata, one.status
        found = sorted(pod.metadata.name for pod in pods if is_alive(pod, meta.uid))
        wanted = sorted(f"{meta.name}-{number}" for number in range(one.spec.replicas))
        told = (status.replicas, status.updated_replicas, status.ready_replicas)
        if found != wanted or told != (len(wanted),) * 3:
            yield f"{one.ref} has {found}, tells {told} of {wanted}"
        if status.observed_generation != meta.generation:
            yield f"{one.ref} tells of an older generation than {meta.generation}"


def _daemons(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    nodes = sorted(node.metadata.name for node in ledger.all(Node))
    for one in ledger.all(DaemonSet):
        status = one.status
        found = sorted(pod.spec.node_name for pod in pods if is_alive(pod, one.metadata.uid))
        told = (status.desired_number_scheduled, status.updated_number_scheduled)
        if found != nodes or (*told, status.number_available) != (len(nodes),) * 3:
            yield f"{one.ref} is on {found}, tells {told}, nodes are {nodes}"
        if status.observed_generation != one.metadata.generation:
            yield f"{one.ref} tells of an older generation than {one.metadata.generation}"


def _tasks(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    """Every Job is over, with as many successes as asked for, and lets each of its pods go."""
    wanted = {one.metadata.uid: one for one in ledger.all(Job)}
    for one in wanted.values():
        if not is_true(one.status.conditions, COMPLETE):
            yield f"{one.ref} is not complete: {one.status}"
    for pod in pods:
        owner = pod.metadata.controller
        if owner is None or owner.kind != Job.resource.kind:
            continue
        if owner.uid not in wanted or not is_finished(pod) or pod.metadata.finalizers:
            yield f"{pod.ref} of {owner.name} is left: {pod.status.phase}"


def _rollouts(ledger: Ledger) -> Iterator[str]:
    owned = {
        owner.uid
        for one in ledger.all(ReplicaSet)
        if (owner := one.metadata.controller) is not None
    }
    wanted = {one.metadata.uid: one for one in ledger.all(Deployment)}
    if strays := owned - wanted.keys():
        yield f"sets of Deployments that are gone: {sorted(strays)}"
    for one in wanted.values():
        status, replicas = one.status, one.spec.replicas
        told = (status.replicas, status.updated_replicas, status.available_replicas)
        if told != (replicas,) * 3 or status.observed_generation != one.metadata.generation:
            yield f"{one.ref} tells {told} of {replicas}, generation {one.metadata.generation}"
        yield from _revisions(one, ledger)


def _revisions(one: Deployment, ledger: Ledger) -> Iterator[str]:
    """The present template has all pods and the highest number; little else is kept."""
    mine = [
        each
        for each in ledger.all(ReplicaSet)
        if each.metadata.controller is not None and each.metadata.controller.uid == one.metadata.uid
    ]
    numbers = sorted(int(each.metadata.annotations[REVISION]) for each in mine)
    if len(set(numbers)) != len(numbers) or len(numbers) > one.spec.revision_history_limit + 1:
        yield f"{one.ref} has the revisions {numbers}"
    for each in mine:
        is_present = bare(each.spec.template) == one.spec.template
        number = int(each.metadata.annotations[REVISION])
        told = one.metadata.annotations.get(REVISION)
        if is_present and (str(number) != told or number != numbers[-1]):
            yield f"{one.ref} is at revision {told}, its template has {number} of {numbers}"
        if not is_present and each.spec.replicas:
            yield f"{each.ref} of an old template has {each.spec.replicas} pods"


def _evenness(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    """No pod is left that could move to an emptier node: one that is cordoned takes none."""
    nodes = [node.metadata.name for node in ledger.all(Node) if not node.spec.unschedulable]
    above = {
        each.metadata.uid: each.metadata.controller.uid
        for each in ledger.all(ReplicaSet)
        if each.metadata.controller is not None
    }
    for one in ledger.all(Deployment):
        counts = Counter(
            pod.spec.node_name
            for pod in pods
            if pod.metadata.controller is not None
            and above.get(pod.metadata.controller.uid) == one.metadata.uid
        )
        each_node = [counts[name] for name in nodes]
        is_held = not is_movable(one) or _is_kept(one, ledger, pods)
        if not is_held and nodes and max(each_node) - min(each_node) > 1:
            yield f"{one.ref} could be more even: {dict(counts)}"


def _is_kept(one: Deployment, ledger: Ledger, pods: Sequence[Pod]) -> bool:
    """Whether a budget over its pods allows no eviction at all: it is over a DaemonSet's, too."""
    return any(
        budget.guards(one.metadata.namespace, one.spec.template.metadata.labels)
        and any(
            budget.guards(pod.metadata.namespace, pod.metadata.labels) and _is_of(pod, DaemonSet)
            for pod in pods
        )
        for budget in ledger.all(PodDisruptionBudget)
    )


def _schedules(ledger: Ledger) -> Iterator[str]:
    """Nothing runs any more, and no more history is kept than asked for."""
    jobs = ledger.all(Job)
    for one in ledger.all(CronJob):
        mine = [job for job in jobs if job.metadata.controller is not None
                and job.metadata.controller.uid == one.metadata.uid]  # fmt: skip
        if one.status.active or len(mine) > one.spec.successful_jobs_history_limit:
            yield f"{one.ref} tells of {one.status.active}, and has {len(mine)} Jobs"


def _services(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    slices = ledger.all(EndpointSlice)
    for service in ledger.all(Service):
        if not service.spec.selector:
            continue
        name, namespace = service.metadata.name, service.metadata.namespace
        selector = equal_to(service.spec.selector)
        wanted = sorted(
            pod.status.pod_ip
            for pod in pods
            if is_ready(pod) and _is_behind(pod, namespace, selector)
        )
        told = sorted(
            address
            for one in slices
            if (one.metadata.namespace, one.metadata.labels.get(SERVICE_LABEL)) == (namespace, name)
            for endpoint in one.endpoints
            if endpoint.conditions.ready
            for address in endpoint.addresses
        )
        if wanted != told:
            yield f"{service.ref} tells {told}, ready are {wanted}"


def _budgets(ledger: Ledger, pods: Sequence[Pod]) -> Iterator[str]:
    for one in ledger.all(PodDisruptionBudget):
        meta, status = one.metadata, one.status
        if status.observed_generation != meta.generation or status.disrupted_pods:
            yield f"{one.ref} is not counted: {status}"
        under = [pod for pod in pods if one.guards(pod.metadata.namespace, pod.metadata.labels)]
        counts = (status.current_healthy, status.expected_pods)
        if any(_is_of(pod, DaemonSet) for pod in under):
            # How many of them there should be is no number of their controller's.
            if status.disruptions_allowed:
                yield f"{one.ref} allows {status.disruptions_allowed} and cannot know"
        elif counts != (len(under), len(under)):
            yield f"{one.ref} tells {counts} of {len(under)} pods, generation {meta.generation}"


def _is_of(pod: Pod, kind: type[Object]) -> bool:
    owner = pod.metadata.controller
    return owner is not None and owner.kind == kind.resource.kind


def _is_behind(pod: Pod, namespace: str, selector: Selector) -> bool:
    return pod.metadata.namespace == namespace and selector.matches(pod.metadata.labels)


def doubles(machines: Sequence[SimMachine]) -> Iterator[str]:
    """Yield every container that runs twice, on one node or on two."""
    seen: dict[tuple[str, str], str] = {}
    for machine in machines:
        for uid, name in machine.running():
            if (uid, name) in seen:
                yield f"{name} of pod {uid} runs on {seen[uid, name]} and on {machine.name}"
            seen[uid, name] = machine.name
