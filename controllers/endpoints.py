"""EndpointSlices: behind every service with a selector, the addresses of its pods.

Slices are grouped by the port numbers that the pods listen on: a named target port may be another
number in another pod. A slice holds at most ENDPOINT_MAX addresses and is named after its
service, its group and its place, so that no plan can make two of one. An address stays in the slice
where it is; a new one goes to the fullest with room: one pod more or less changes one slice.
Where no pod answers, one empty slice stands for the service, as Kubernetes' controller writes it:
clients that wait for a service's slices learn that there are no endpoints.

A pod whose node has fallen silent is not ready, at once, whatever the pod last said. Where a
kubelet itself says that its node is not ready, it still speaks for each of its pods, and is
believed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from controllers.naming import child_name
from cubernetes.api.condition import condition_of, is_true
from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.container import Protocol
from cubernetes.api.core.podspec.spec import sidecars
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import (
    ENDPOINT_MAX,
    MANAGED_LABEL,
    SERVICE_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    may_be_endpoint,
)
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.api.names import LABEL_COUNT_MAX
from cubernetes.api.selectors import equal_to
from cubernetes.client.cache import revision_of
from cubernetes.reconcile.plan import Action, Create, Delete, RequeueAfter, Update, View

MANAGED_BY = "endpoints.cubernetes.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
VIEW_PAUSE_S = 1.0  # until a view that lags is looked at again

type Ports = tuple[EndpointPort, ...]


class Endpoints:
    """Plans by Service."""

    name = "endpoints"
    kinds: tuple[type[Object], ...] = (Service, Pod, Node, EndpointSlice)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        if isinstance(changed, Service):
            return (changed.ref,)
        if isinstance(changed, EndpointSlice):
            is_ours = changed.metadata.labels.get(MANAGED_LABEL) == MANAGED_BY
            return (_service_ref(changed),) if is_ours and changed.service_name else ()
        if isinstance(changed, Node):
            # Falling silent and coming back both have a silent side; other news of a node is none.
            if not is_silent(changed):
                return ()
            pods = view.on_node(Pod, changed.metadata.name)
            return sorted({ref for pod in pods for ref in _services_of(pod, view)})
        return _services_of(changed, view)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        service = view.get(Service, key.name, key.namespace)
        slices = [
            one
            for one in view.list(
                EndpointSlice,
                key.namespace,
                equal_to({SERVICE_LABEL: key.name, MANAGED_LABEL: MANAGED_BY}),
            )
            if not one.metadata.is_deleted
        ]
        if service is None or service.metadata.is_deleted:
            yield from _left_behind(slices, view)
            return
        if service.spec.type == "ExternalName":
            # It is another name: nobody answers behind it.
            yield from (_gone(one) for one in slices)
        # Without a selector the slices, if any, are a person's or another program's.
        elif service.spec.selector:
            yield from _plan_slices(service, slices, _groups(service, view))


def endpoint_for(pod: Pod, service: Service, *, is_node_silent: bool) -> Endpoint:
    """Return what callers may know of a pod; one that goes serves, but is not ready for more.

    A pod has a name of its own behind the service that its subdomain means.
    """
    is_named = pod.spec.subdomain == service.metadata.name
    is_serving = is_true(pod.status.conditions, "Ready") and not is_node_silent
    is_going = pod.metadata.is_deleted
    return Endpoint(
        addresses=(pod.status.pod_ip,),
        conditions=EndpointConditions(
            ready=service.spec.publish_not_ready_addresses or (is_serving and not is_going),
            serving=is_serving,
            terminating=is_going,
        ),
        hostname=pod.spec.hostname if is_named else "",
        node_name=pod.spec.node_name,
        target_ref=ObjectReference(
            kind=pod.kind,
            namespace=pod.metadata.namespace,
            name=pod.metadata.name,
            uid=pod.metadata.uid,
        ),
    )


def ports_of(service: Service, pod: Pod) -> Ports:
    """Return where the pod listens for the service; ports whose name it lacks are left out."""
    found = []
    for port in service.spec.ports:
        wanted = port.target_port if port.target_port is not None else port.port
        number = wanted if isinstance(wanted, int) else _named_port(pod, wanted, port.protocol)
        if number is not None:
            found.append(EndpointPort(name=port.name, protocol=port.protocol, port=number))
    return tuple(found)


def _named_port(pod: Pod, name: str, protocol: Protocol) -> int | None:
    numbers = (
        port.container_port
        for container in (*pod.spec.containers, *sidecars(pod.spec))
        for port in container.ports
        if (port.name, port.protocol) == (name, protocol)
    )
    return next(numbers, None)


def is_silent(node: Node | None) -> bool:
    """Its kubelet has stopped renewing its Lease. A node that is not there says nothing."""
    ready = condition_of(node.status.conditions, "Ready") if node is not None else None
    return ready is not None and ready.status == "Unknown"


def _groups(service: Service, view: View) -> Mapping[Ports, Sequence[Endpoint]]:
    """Return the endpoints by the ports they listen on, each group in the order of pod names."""
    groups: dict[Ports, list[Endpoint]] = {}
    silent: dict[str, bool] = {}
    for pod in view.list(Pod, service.metadata.namespace, equal_to(service.spec.selector)):
        # What a kubelet tells may be nonsense: one pod must not cost the others their slice.
        if not may_be_endpoint(pod.status.pod_ip) or is_finished(pod):
            continue
        ports = ports_of(service, pod)
        if service.spec.ports and not ports:
            continue
        node = pod.spec.node_name
        if node not in silent:
            silent[node] = is_silent(view.get(Node, node))
        groups.setdefault(ports, []).append(endpoint_for(pod, service, is_node_silent=silent[node]))
    return groups


def _plan_slices(
    service: Service, slices: Sequence[EndpointSlice], groups: Mapping[Ports, Sequence[Endpoint]]
) -> Iterator[Action]:
    """Change as few slices as possible. Removals come last: an address may move, never vanish."""
    kept: set[str] = set()
    removals: list[Action] = []
    for ports in sorted(groups, key=_ports_text):
        present = [one for one in slices if one.ports == ports]
        for name, endpoints in packed(service, ports, present, groups[ports]):
            kept.add(name)
            old = next((one for one in slices if one.metadata.name == name), None)
            yield from _written(service, old, _slice_of(service, name, ports, endpoints))
    if not kept:
        empty = _slice_of(service, _slice_name(service, (), 0), (), ())
        kept.add(empty.metadata.name)
        old = next((one for one in slices if one.ref == empty.ref), None)
        yield from _written(service, old, empty)
    removals += [_gone(one) for one in slices if one.metadata.name not in kept]
    yield from removals


def packed(
    service: Service,
    ports: Ports,
    present: Sequence[EndpointSlice],
    endpoints: Sequence[Endpoint],
) -> Sequence[tuple[str, Sequence[Endpoint]]]:
    """Return which slice holds what: endpoints stay in theirs, new ones fill the fullest first.

    A pod is recognized by its uid, so one that has a new address stays in its place. Slices that
    are left empty are not returned.
    """
    wanted = {_identity(one): one for one in endpoints}
    rooms: dict[str, list[Endpoint]] = {}
    for one in present:
        stay = rooms.setdefault(one.metadata.name, [])
        for old in one.endpoints:
            # The first slice that has it keeps it: a second mention is a leftover.
            current = wanted.pop(_identity(old), None)
            if current is not None:
                stay.append(current)
    newcomers = list(wanted.values())
    for room in sorted(rooms.values(), key=len, reverse=True):
        free_count = max(0, ENDPOINT_MAX - len(room))
        room += newcomers[:free_count]
        del newcomers[:free_count]
    place = 0
    while newcomers:
        name = _slice_name(service, ports, place)
        place += 1
        if name not in rooms:
            rooms[name] = newcomers[:ENDPOINT_MAX]
            del newcomers[:ENDPOINT_MAX]
    return [(name, room) for name, room in rooms.items() if room]


def _slice_name(service: Service, ports: Ports, place: int) -> str:
    return child_name(service.metadata.name, service.metadata.uid, _ports_text(ports), place)


def _left_behind(slices: Sequence[EndpointSlice], view: View) -> Iterator[Delete | RequeueAfter]:
    """Delete the slices of a service that is gone: known once the services' view is as new."""
    for one in slices:
        if view.revision(Service) >= revision_of(one):
            yield _gone(one)
        else:
            yield RequeueAfter(VIEW_PAUSE_S)


def _slice_of(
    service: Service, name: str, ports: Ports, endpoints: Sequence[Endpoint]
) -> EndpointSlice:
    labels = {SERVICE_LABEL: service.metadata.name, MANAGED_LABEL: MANAGED_BY}
    if service.is_headless:
        labels[HEADLESS_LABEL] = ""
    # A copy for people who select; none where the service has as many as an object may have.
    copied = {**service.metadata.labels, **labels}
    labels = copied if len(copied) <= LABEL_COUNT_MAX else labels
    meta = ObjectMeta(
        name=name,
        namespace=service.metadata.namespace,
        labels=labels,
        owner_references=(service.owner_reference(),),
    )
    return EndpointSlice(metadata=meta, endpoints=tuple(endpoints), ports=ports)


def _written(
    service: Service, old: EndpointSlice | None, new: EndpointSlice
) -> Iterator[Create | Update]:
    """Yield the write that makes old into new: none where it is so already."""
    if old is None:
        yield Create(new)
        return
    meta = replaced(
        old.metadata,
        labels=new.metadata.labels,
        owner_references=(service.owner_reference(),),
    )
    changed = replaced(old, metadata=meta, endpoints=new.endpoints, ports=new.ports)
    if changed != old:
        yield Update(changed)


def _gone(one: EndpointSlice) -> Delete:
    return Delete(EndpointSlice, one.ref, one.metadata.uid)


def _services_of(pod: Object, view: View) -> list[Ref]:
    services = view.list(Service, pod.metadata.namespace)
    return [one.ref for one in services if one.selects(pod.metadata.labels)]


def _service_ref(one: EndpointSlice) -> Ref:
    return Ref(Service.resource.kind, one.metadata.namespace, one.service_name)


def _identity(one: Endpoint) -> str:
    return one.target_ref.uid if one.target_ref is not None else ",".join(one.addresses)


def _ports_text(ports: Ports) -> str:
    return ",".join(f"{one.name}:{one.protocol}:{one.port}" for one in ports)
