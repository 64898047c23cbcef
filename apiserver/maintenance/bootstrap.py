"""What every cluster has from its first moment: namespaces, and a service for the API itself."""

from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network

from apiserver.backend import Backend
from apiserver.call import Call, Policy, Route
from apiserver.maintenance.renewal import renewed
from apiserver.maintenance.roles import ROLES
from apiserver.maintenance.systemroles import SYSTEM_ROLES
from apiserver.state.keys import key_of
from apiserver.state.room import SERVER
from apiserver.strategies import clusterips
from apiserver.strategies.registry import strategy_of
from apiserver.verbs.write import ChangeTo, create, create_object, modified
from cubernetes.api.coordination.road import ROAD_NAMESPACE
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.service import Service, ServicePort, ServiceSpec
from cubernetes.api.discovery.endpointslice import (
    MANAGED_LABEL,
    SERVICE_LABEL,
    Endpoint,
    EndpointPort,
    EndpointSlice,
)
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable, Timeout
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.scheduling.priorityclass import SYSTEM
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s
from cubernetes.host.web.messages import Request

NAMESPACES = ("default", "kube-system", "kube-node-lease", ROAD_NAMESPACE)
MANAGER = "cubernetes-apiserver"
ATTEMPTS_MAX = 30
KEEP_S = 10.0  # between two looks at whether they are all there

log = Log(__name__)


async def ensure(backend: Backend) -> None:
    """Create what is missing, and bring the API's own addresses up to date; repeatable.

    Raises: ApiError: the store did not take it, also not later.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            await _ensure_once(backend)
        except (ServiceUnavailable, Timeout) as trouble:
            if attempt == ATTEMPTS_MAX:
                raise
            log.warning("the first objects are not written yet", trouble=trouble)
            await backend.env.clock.sleep(backoff_s(attempt, base_s=0.1, limit_s=2.0))
        else:
            return


async def keep(backend: Backend) -> None:
    """Put back what was taken away, for ever: pods reach the API by its service."""
    while True:
        await backend.env.clock.sleep(KEEP_S)
        keys = [key_of(type(one), *one.ref[1:]) for one in _firsts(backend)]
        if all(backend.mirror.item(key) for key in keys):
            continue
        try:
            await ensure(backend)
            log.info("first objects put back")
        except ApiError as error:
            log.warning("first objects are missing", why=error)


def _firsts(backend: Backend) -> Iterator[Object]:
    yield from (Namespace(metadata=ObjectMeta(name=name)) for name in NAMESPACES)
    yield from SYSTEM
    yield from ROLES
    yield from SYSTEM_ROLES
    yield _service(backend)
    if backend.settings.advertise_addresses:
        yield _slice(backend)


async def _ensure_once(backend: Backend) -> None:
    for one in _firsts(backend):
        await _ensure_exists(backend, one)
    if backend.settings.advertise_addresses:
        wanted = _slice(backend)
        await _change(backend, wanted, lambda old: _readdressed(old, wanted))


def _service(backend: Backend) -> Service:
    address = clusterips.first_address(IPv4Network(backend.settings.service_range))
    port = ServicePort(name="https", port=443, target_port=backend.settings.listen_port)
    return Service(
        metadata=ObjectMeta(name="kubernetes", namespace="default", labels=_labels()),
        spec=ServiceSpec(cluster_ip=address, ports=(port,)),
    )


def _slice(backend: Backend) -> EndpointSlice:
    addresses = backend.settings.advertise_addresses
    return EndpointSlice(
        metadata=ObjectMeta(
            name="kubernetes",
            namespace="default",
            labels={SERVICE_LABEL: "kubernetes", MANAGED_LABEL: MANAGER},
        ),
        endpoints=tuple(Endpoint(addresses=(address,)) for address in addresses),
        ports=(EndpointPort(name="https", port=backend.settings.listen_port),),
    )


def _labels() -> dict[str, str]:
    return {"component": "apiserver", "provider": "cubernetes"}


def _readdressed(old: Object, wanted: EndpointSlice) -> Object:
    assert isinstance(old, EndpointSlice)  # noqa: S101  the key is of slices
    metadata = replaced(old.metadata, resource_version="")
    return replaced(old, metadata=metadata, endpoints=wanted.endpoints, ports=wanted.ports)


async def _ensure_exists(backend: Backend, one: Object) -> None:
    found = backend.mirror.item(key_of(type(one), *one.ref[1:]))
    if found is not None:
        if renewed(found.object, one) != found.object:
            await _change(backend, one, partial(renewed, wanted=one))
        return
    await _make(backend, one)


async def _change(backend: Backend, one: Object, change: ChangeTo) -> None:
    """Change an object that was there a moment ago; one that has gone is made anew."""
    try:
        await modified(backend, call_for(one), change)
    except NotFound:
        await _make(backend, one)


async def _make(backend: Backend, one: Object) -> None:
    try:
        await create_object(backend, call_for(one), one)
    except AlreadyExists:
        return
    except ApiError as error:
        # Another API server may have made it a moment ago, address and all.
        if "already allocated" not in error.message:
            raise


def call_for(one: Object) -> Call:
    """Return the call by which this server writes for itself."""
    route = Route(
        "POST", "", "create", create, Policy.ROLE, type(one), strategy=strategy_of(type(one))
    )
    metadata = one.metadata
    return Call(Request("POST", "/"), route, SERVER, metadata.namespace, metadata.name)
