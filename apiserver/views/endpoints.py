"""Endpoints: the EndpointSlices of a service as one object, for clients that know no slices. Pure.

As in Kubernetes an address that is terminating is left out, one that is not ready stands apart, and
more than a thousand addresses are cut, which an annotation tells.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from apiserver.state.items import Item
from apiserver.state.view import ObjectKey, Sight
from cubernetes.api.core.service import Service
from cubernetes.api.core.views.endpoints import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
)
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice
from cubernetes.api.meta import Object, ObjectMeta

ADDRESSES_MAX = 1000
# A change of a service with a thousand addresses holds some hundred kilobytes once it is asked for.
EVENTS_MAX = 128
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


class EndpointsView:
    """One for each service that has a selector or slices, of the name of the service."""

    kind: ClassVar[type[Object]] = Endpoints
    sources: ClassVar[tuple[type[Object], ...]] = (Service, EndpointSlice)
    events_max: ClassVar[int] = EVENTS_MAX

    def __init__(self) -> None:
        self._services: dict[ObjectKey, Service] = {}
        self._slices: dict[ObjectKey, dict[str, EndpointSlice]] = {}
        # Where each key of a source belongs, for when it goes or is another service's.
        self._places: dict[str, ObjectKey] = {}

    def changed(self, key: str, source: Item | None) -> Iterable[ObjectKey]:
        found = self._forgotten(key)
        if source is not None:
            found |= self._taken(key, source.object)
        return sorted(found)

    def _forgotten(self, key: str) -> set[ObjectKey]:
        place = self._places.pop(key, None)
        if place is None:
            return set()
        slices = self._slices.get(place, {})
        if slices.pop(key, None) is None:
            self._services.pop(place, None)
        elif not slices:
            del self._slices[place]
        return {place}

    def _taken(self, key: str, one: Object) -> set[ObjectKey]:
        if isinstance(one, EndpointSlice):
            place = ObjectKey(one.metadata.namespace, one.service_name)
            self._slices.setdefault(place, {})[key] = one
        else:
            assert isinstance(one, Service)  # noqa: S101  the other source
            place = ObjectKey(one.metadata.namespace, one.metadata.name)
            self._services[place] = one
        self._places[key] = place
        return {place}

    def shown(self, place: ObjectKey) -> Sight | None:
        service = self._services.get(place)
        slices = [one for _, one in sorted(self._slices.get(place, {}).items())]
        if service is None or not (service.spec.selector or slices):
            return None
        metadata = service.metadata
        parts = (metadata.uid, metadata.labels, *((one.ports, one.endpoints) for one in slices))
        return Sight(parts, partial(endpoints_of, service, slices))


def endpoints_of(service: Service, slices: Sequence[EndpointSlice]) -> Endpoints:
    """Return who answers behind a service; slices are its own."""
    subsets: dict[tuple[EndpointPort, ...], list[Endpoint]] = {}
    for one in slices:
        ports = tuple(
            EndpointPort(name=port.name, port=port.port, protocol=port.protocol)
            for port in one.ports
        )
        subsets.setdefault(ports, []).extend(one.endpoints)
    left_count, total_count, made = ADDRESSES_MAX, 0, []
    for ports, endpoints in subsets.items():
        staying = _shown(endpoints)
        total_count += len(staying)
        shown = staying[:left_count]
        left_count -= len(shown)
        if shown:
            made.append(_subset(ports, shown))
    metadata = service.metadata
    cut = {OVER_CAPACITY: "truncated"} if total_count > ADDRESSES_MAX else {}
    return Endpoints(
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            creation_timestamp=metadata.creation_timestamp,
            labels=metadata.labels,
            annotations=cut,
        ),
        subsets=tuple(made),
    )


def _shown(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    staying = (one for one in endpoints if one.conditions.ready or not one.conditions.terminating)
    return sorted(staying, key=lambda one: (not one.conditions.ready, one.addresses))


def _subset(ports: tuple[EndpointPort, ...], endpoints: Iterable[Endpoint]) -> EndpointSubset:
    ready: list[EndpointAddress] = []
    others: list[EndpointAddress] = []
    for one in endpoints:
        (ready if one.conditions.ready else others).append(
            EndpointAddress(
                ip=one.addresses[0],
                hostname=one.hostname,
                node_name=one.node_name,
                target_ref=one.target_ref,
            )
        )
    return EndpointSubset(addresses=tuple(ready), not_ready_addresses=tuple(others), ports=ports)
