"""Roads to services: which gateways serve an Ingress or a Dns, told in its status.

One writer for all of them: gateways say that they are there by their Leases, and write no status.
A gateway counts as long as its Lease says that it serves and its node is Ready. All roads are one
key: who has a path that two objects claim depends on both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cubernetes.api.condition import Condition, is_true, with_condition
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import ROAD_NAMESPACE, is_road, is_serving_gateway
from cubernetes.api.core.node import Node, is_address
from cubernetes.api.cubernetes.dns import ACCEPTED, Dns, DnsStatus
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.networking.ingress import (
    Ingress,
    IngressAddress,
    IngressLoadBalancer,
    IngressStatus,
)
from cubernetes.api.networking.ingressclass import IngressClass
from cubernetes.api.roads import Roads, is_served, own_classes, roads_of
from cubernetes.reconcile.plan import Action, Record, UpdateStatus, View

EVERY_ROAD = Ref("Roads", "", "")
SERVED, TAKEN, NO_GATEWAY = "Served", "HostPathTaken", "NoGateway"
MESSAGE_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True)
class RoadStatuses:
    """Plans for all roads at once.

    serving: the Leases by which gateways were seen to serve. They acknowledge each change of
    endpoints, which is no news for a status.
    """

    serving: set[str] = field(default_factory=set)

    name = "roads"
    kinds: tuple[type[Object], ...] = (Ingress, IngressClass, Dns, Lease, Node)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        if not isinstance(changed, Lease):
            return (EVERY_ROAD,)
        return (EVERY_ROAD,) if is_road(changed) and self._is_news(changed, view) else ()

    def _is_news(self, changed: Lease, view: View) -> bool:
        name = changed.metadata.name
        lease = view.get(Lease, name, ROAD_NAMESPACE)
        is_serving = lease is not None and is_serving_gateway(lease)
        was_serving = name in self.serving
        (self.serving.add if is_serving else self.serving.discard)(name)
        return is_serving != was_serving

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        classes, ingresses, dnses = view.list(IngressClass), view.list(Ingress), view.list(Dns)
        gateways = addresses_of(view)
        roads, own = roads_of(ingresses, classes, dnses), own_classes(classes)
        for ingress in ingresses:
            # That of another class is another program's, and so is its status.
            if is_served(ingress, own):
                yield from _ingress_actions(ingress, gateways, roads)
        for dns in dnses:
            yield from _dns_actions(dns, gateways, roads, now)


def addresses_of(view: View) -> tuple[str, ...]:
    """Return the addresses of the gateways that are there, in the order of their nodes' names."""
    found = []
    for lease in view.list(Lease, ROAD_NAMESPACE):
        if not is_serving_gateway(lease):
            continue
        node = view.get(Node, lease.spec.holder_identity)
        if node is None or node.metadata.is_deleted:
            continue
        if is_true(node.status.conditions, "Ready") and is_address(node.address):
            found.append(node.address)
    return tuple(found)


def _ingress_actions(ingress: Ingress, gateways: tuple[str, ...], roads: Roads) -> Iterator[Action]:
    entries = tuple(IngressAddress(ip=address) for address in gateways)
    status = IngressStatus(load_balancer=IngressLoadBalancer(ingress=entries))
    if status != ingress.status:
        yield UpdateStatus(replaced(ingress, status=status))
        # Ingresses have no conditions: what is refused is told once a change, as an event.
        for why in roads.refused.get(ingress.ref, ()):
            yield Record(ingress, TAKEN, why, "Warning")


def _dns_actions(
    dns: Dns, gateways: tuple[str, ...], roads: Roads, now: datetime
) -> Iterator[Action]:
    refused = roads.refused.get(dns.ref, ())
    condition = _condition(dns, gateways, refused)
    conditions = with_condition(dns.status.conditions, condition, now)
    status = DnsStatus(gateways=gateways, conditions=conditions)
    if status != dns.status:
        yield UpdateStatus(replaced(dns, status=status))
        if refused:
            yield Record(dns, TAKEN, condition.message, "Warning")


def _condition(dns: Dns, gateways: tuple[str, ...], refused: tuple[str, ...]) -> Condition:
    generation = dns.metadata.generation
    if refused:
        message = "; ".join(refused)[:MESSAGE_CHARS_MAX]
        return Condition(
            type=ACCEPTED,
            status="False",
            reason=TAKEN,
            message=message,
            observed_generation=generation,
        )
    if not gateways:
        message = "no node has a gateway: cuberoot enable gateway"
        return Condition(
            type=ACCEPTED,
            status="False",
            reason=NO_GATEWAY,
            message=message,
            observed_generation=generation,
        )
    return Condition(type=ACCEPTED, status="True", reason=SERVED, observed_generation=generation)
