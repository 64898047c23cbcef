"""What tests begin with: one small builder per kind, each object whole, valid and dated.

Every default is what a cluster would have written: a uid, a resourceVersion, a creation time. A
test names only what it is about: `a_pod("web-0", node="n1", phase="Running", is_ready=True)`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from apiserver.strategies.jobs.job import Jobs
from cubernetes.api.apps.deployment import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    RollingUpdateDeployment,
)
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from cubernetes.api.apps.statefulset import StatefulSet, StatefulSetSpec
from cubernetes.api.batch.job import Job, JobSpec, JobStatus
from cubernetes.api.condition import Condition, Truth
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease, LeaseSpec
from cubernetes.api.core.event import Event, EventSource, ObjectReference
from cubernetes.api.core.namespace import Namespace, NamespaceStatus
from cubernetes.api.core.node import HOSTNAME_LABEL, Node, NodeAddress, NodeSpec, NodeStatus, Taint
from cubernetes.api.core.pod import Pod, PodTemplate, TemplateMeta
from cubernetes.api.core.podspec.container import Container, ContainerPort, Resources
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    Phase,
    PodIP,
    PodStatus,
    StateRunning,
)
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.discovery.endpointslice import (
    MANAGED_LABEL,
    SERVICE_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
)
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.api.quantities import Quantity
from cubernetes.api.selectors import LabelSelector

NOW = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
AN_HOUR_AGO = NOW - timedelta(hours=1)
WEB = {"app": "web"}


def a_meta(
    name: str,
    namespace: str = "default",
    *,
    uid: str = "",
    revision: int = 1,
    labels: Mapping[str, str] | None = None,
    owner: Object | None = None,
    owners: Sequence[OwnerReference] = (),
    created_at: datetime | None = AN_HOUR_AGO,
    deleted_at: datetime | None = None,
    generation: int = 0,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
) -> ObjectMeta:
    """Return metadata as the server writes it; the uid follows from the name, unless given."""
    references = (owner.owner_reference(),) if owner is not None else tuple(owners)
    return ObjectMeta(
        name=name,
        namespace=namespace,
        uid=uid or f"uid-{name}",
        resource_version=str(revision),
        generation=generation,
        creation_timestamp=created_at,
        deletion_timestamp=deleted_at,
        deletion_grace_period_seconds=30 if deleted_at is not None else None,
        labels=dict(labels or {}),
        annotations=dict(annotations or {}),
        owner_references=references,
        finalizers=tuple(finalizers),
    )


def a_condition(
    kind: str = "Ready", status: Truth = "True", since: datetime = AN_HOUR_AGO, reason: str = ""
) -> Condition:
    return Condition(type=kind, status=status, reason=reason, last_transition_time=since)


def a_container(
    name: str = "main",
    image: str = "cubernetes/web:1",
    *,
    cpu: str = "",
    memory: str = "",
    ports: Sequence[ContainerPort] = (),
) -> Container:
    """Return a container; cpu and memory are its requests."""
    requests = {key: Quantity(text) for key, text in (("cpu", cpu), ("memory", memory)) if text}
    return Container(
        name=name,
        image=image,
        image_pull_policy="IfNotPresent",
        ports=tuple(ports),
        resources=Resources(requests=requests),
    )


def a_template(
    labels: Mapping[str, str] | None = None, containers: Sequence[Container] | None = None
) -> PodTemplate:
    return PodTemplate(
        metadata=TemplateMeta(labels=dict(WEB if labels is None else labels)),
        spec=PodSpec(containers=tuple(containers or (a_container(),))),
    )


def a_pod(
    name: str = "web-0",
    namespace: str = "default",
    *,
    node: str = "",
    phase: Phase = "Pending",
    is_ready: bool = False,
    ip: str = "",
    containers: Sequence[Container] | None = None,
    cpu: str = "",
    memory: str = "",
    node_selector: Mapping[str, str] | None = None,
    spec: PodSpec | None = None,
    status: PodStatus | None = None,
    uid: str = "",
    revision: int = 1,
    labels: Mapping[str, str] | None = None,
    owner: Object | None = None,
    created_at: datetime = AN_HOUR_AGO,
    deleted_at: datetime | None = None,
    finalizers: Sequence[str] = (),
) -> Pod:
    """Return a pod of one container; is_ready gives it the Ready condition."""
    wanted = spec or PodSpec(
        containers=tuple(containers or (a_container(cpu=cpu, memory=memory),)),
        node_name=node,
        node_selector=dict(node_selector or {}),
    )
    found = status or _pod_status(wanted, phase, ip, is_ready=is_ready)
    meta = a_meta(
        name,
        namespace,
        uid=uid,
        revision=revision,
        labels=WEB if labels is None else labels,
        owner=owner,
        created_at=created_at,
        deleted_at=deleted_at,
        finalizers=finalizers,
    )
    return Pod(metadata=meta, spec=wanted, status=found)


def _pod_status(spec: PodSpec, phase: Phase, ip: str, *, is_ready: bool) -> PodStatus:
    running = ContainerState(running=StateRunning(started_at=AN_HOUR_AGO))
    statuses = tuple(
        ContainerStatus(
            name=one.name,
            image=one.image,
            ready=is_ready,
            started=True,
            state=running,
            container_id=f"docker://{one.name}",
        )
        for one in spec.containers
        if phase == "Running"
    )
    ready = a_condition("Ready", "True" if is_ready else "False")
    return PodStatus(
        phase=phase,
        pod_ip=ip,
        pod_ips=(PodIP(ip=ip),) if ip else (),
        conditions=(ready,) if is_ready or phase == "Running" else (),
        container_statuses=statuses,
    )


def a_running_pod(name: str = "web-0", *, ip: str = "10.244.1.2", node: str = "n1") -> Pod:
    """Return a pod that serves: bound, running, ready, with an address."""
    return a_pod(name, node=node, phase="Running", is_ready=True, ip=ip)


def a_node(
    name: str = "n1",
    *,
    is_ready: bool = True,
    is_schedulable: bool = True,
    labels: Mapping[str, str] | None = None,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    address: str = "10.0.0.1",
    pod_cidr: str = "10.244.1.0/24",
    conditions: Sequence[Condition] | None = None,
    created_at: datetime = AN_HOUR_AGO,
    uid: str = "",
    revision: int = 1,
    taints: Sequence[Taint] = (),
) -> Node:
    amounts = {"cpu": Quantity(cpu), "memory": Quantity(memory), "pods": Quantity(pods)}
    told = (
        conditions
        if conditions is not None
        else (a_condition("Ready", "True" if is_ready else "False"),)
    )
    return Node(
        metadata=a_meta(
            name,
            "",
            uid=uid,
            revision=revision,
            labels={HOSTNAME_LABEL: name, **(labels or {})},
            created_at=created_at,
        ),
        spec=NodeSpec(
            pod_cidr=pod_cidr,
            pod_cidrs=(pod_cidr,) if pod_cidr else (),
            unschedulable=not is_schedulable,
            taints=tuple(taints),
        ),
        status=NodeStatus(
            capacity=amounts,
            allocatable=amounts,
            conditions=tuple(told),
            addresses=(NodeAddress(type="InternalIP", address=address),),
        ),
    )


def a_service(
    name: str = "web",
    namespace: str = "default",
    *,
    selector: Mapping[str, str] | None = None,
    ports: Sequence[ServicePort] = (ServicePort(port=80, target_port=8080),),
    cluster_ip: str = "10.96.0.10",
    uid: str = "",
    revision: int = 1,
) -> Service:
    return Service(
        metadata=a_meta(name, namespace, uid=uid, revision=revision),
        spec=ServiceSpec(
            selector=dict(WEB if selector is None else selector),
            ports=tuple(ports),
            cluster_ip=cluster_ip,
            cluster_ips=(cluster_ip,) if cluster_ip else (),
        ),
    )


def an_endpoint(
    address: str = "10.244.1.2",
    *,
    is_ready: bool = True,
    is_going: bool = False,
    node: str = "n1",
    pod: str = "",
) -> Endpoint:
    """Return an endpoint that is ready, or not; one that is going was ready and still serves."""
    target = ObjectReference(kind="Pod", namespace="default", name=pod, uid=f"uid-{pod}")
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(
            ready=is_ready and not is_going, serving=is_ready, terminating=is_going
        ),
        node_name=node,
        target_ref=target if pod else None,
    )


def a_slice(
    name: str = "web-1",
    namespace: str = "default",
    *,
    service: str = "web",
    endpoints: Sequence[Endpoint] = (),
    addresses: Sequence[str] = (),
    ports: Sequence[EndpointPort] = (EndpointPort(port=8080),),
    managed_by: str = "endpoints.cubernetes.io",
    owner: Object | None = None,
    uid: str = "",
    revision: int = 1,
) -> EndpointSlice:
    """Return a slice of ready addresses, or of the endpoints given."""
    labels = {SERVICE_LABEL: service, MANAGED_LABEL: managed_by}
    return EndpointSlice(
        metadata=a_meta(name, namespace, uid=uid, revision=revision, labels=labels, owner=owner),
        endpoints=tuple(endpoints) or tuple(an_endpoint(address) for address in addresses),
        ports=tuple(ports),
    )


def a_replicaset(
    name: str = "web",
    namespace: str = "default",
    *,
    replicas: int = 1,
    selector: Mapping[str, str] | None = None,
    template: PodTemplate | None = None,
    status: ReplicaSetStatus | None = None,
    generation: int = 1,
    uid: str = "",
    revision: int = 1,
    deleted_at: datetime | None = None,
    finalizers: Sequence[str] = (),
) -> ReplicaSet:
    labels = dict(WEB if selector is None else selector)
    return ReplicaSet(
        metadata=a_meta(
            name,
            namespace,
            uid=uid,
            revision=revision,
            generation=generation,
            deleted_at=deleted_at,
            finalizers=finalizers,
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels=labels),
            template=template or a_template(labels),
        ),
        status=status or ReplicaSetStatus(),
    )


def a_namespace(name: str = "default", *, deleted_at: datetime | None = None) -> Namespace:
    return Namespace(
        metadata=a_meta(name, "", deleted_at=deleted_at),
        status=NamespaceStatus(phase="Active" if deleted_at is None else "Terminating"),
    )


def a_lease(
    name: str = "n1",
    namespace: str = NODE_LEASE_NAMESPACE,
    *,
    holder: str = "n1",
    duration_s: int = 40,
    renewed_at: datetime = NOW,
    transitions: int = 0,
    revision: int = 1,
) -> Lease:
    return Lease(
        metadata=a_meta(name, namespace, revision=revision),
        spec=LeaseSpec(
            holder_identity=holder,
            lease_duration_seconds=duration_s if holder else None,
            acquire_time=renewed_at,
            renew_time=renewed_at,
            lease_transitions=transitions,
        ),
    )


def an_event(
    about: Object,
    reason: str = "Started",
    message: str = "the container runs",
    *,
    count: int = 1,
    at: datetime = NOW,
) -> Event:
    namespace = about.metadata.namespace or "default"
    return Event(
        metadata=a_meta(f"{about.metadata.name}.{reason.lower()}", namespace),
        involved_object=ObjectReference(
            api_version=about.api_version,
            kind=about.kind,
            namespace=about.metadata.namespace,
            name=about.metadata.name,
            uid=about.metadata.uid,
        ),
        reason=reason,
        message=message,
        source=EventSource(component="test"),
        first_timestamp=at,
        last_timestamp=at,
        count=count,
    )


def a_deployment(
    name: str = "web",
    namespace: str = "default",
    *,
    replicas: int = 1,
    image: str = "cubernetes/web:1",
    surge: int | str = 1,
    unavailable: int | str = 0,
    strategy: Literal["RollingUpdate", "Recreate"] = "RollingUpdate",
    annotations: Mapping[str, str] | None = None,
    generation: int = 1,
    uid: str = "",
    revision: int = 1,
    deleted_at: datetime | None = None,
    **spec: object,
) -> Deployment:
    """Return a Deployment; spec: further fields of its spec, as Python calls them."""
    bounds = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    is_rolling = strategy == "RollingUpdate"
    meta = a_meta(
        name,
        namespace,
        uid=uid,
        revision=revision,
        generation=generation,
        annotations=annotations,
        deleted_at=deleted_at,
    )
    wanted = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels=WEB),
        template=a_template(containers=(a_container(image=image),)),
        strategy=DeploymentStrategy(type=strategy, rolling_update=bounds if is_rolling else None),
    )
    return Deployment(metadata=meta, spec=replaced(wanted, **spec))


def a_statefulset(
    name: str = "web",
    namespace: str = "default",
    *,
    replicas: int = 1,
    image: str = "cubernetes/web:1",
    generation: int = 1,
    **spec: object,
) -> StatefulSet:
    """Return a StatefulSet; spec: further fields of its spec, as Python calls them."""
    wanted = StatefulSetSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels=WEB),
        template=a_template(containers=(a_container(image=image),)),
        service_name=name,
    )
    meta = a_meta(name, namespace, generation=generation)
    return StatefulSet(metadata=meta, spec=replaced(wanted, **spec)).defaulted()


def a_job(
    name: str = "work",
    namespace: str = "default",
    *,
    restart_policy: Literal["Never", "OnFailure"] = "Never",
    status: JobStatus | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    generation: int = 1,
    uid: str = "",
    revision: int = 1,
    deleted_at: datetime | None = None,
    **spec: object,
) -> Job:
    """Return a Job as the server has it; spec: fields of its spec, as Python calls them."""
    meta = a_meta(
        name,
        namespace,
        uid=uid,
        revision=revision,
        generation=generation,
        annotations=annotations,
        finalizers=finalizers,
        deleted_at=deleted_at,
    )
    template = a_template()
    wanted = JobSpec(
        template=replaced(template, spec=replaced(template.spec, restart_policy=restart_policy))
    )
    made = Job(metadata=meta, spec=replaced(wanted, **spec)).defaulted()
    return replaced(Jobs().prepared(made), status=status or JobStatus())
