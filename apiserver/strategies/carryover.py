"""What an update of a service means by what it leaves out, and what goes with its type. Pure.

An author that leaves a field out, as `apply` does, means what the cluster gave; one that changes
the type means that what only the old type had goes. Kubernetes' registry does the same to its
services (patchAllocatedValues, dropTypeDependentFields).
"""

from cubernetes.api.core.service import ServicePort, ServiceSpec
from cubernetes.api.meta import replaced


def carried_over(old: ServiceSpec, new: ServiceSpec) -> ServiceSpec:
    """Return the spec that is meant, from the one that stands and the one that was sent."""
    spec = _without_old_type(old, new)
    if old.cluster_ip and spec.type != "ExternalName" and not spec.cluster_ip:
        spec = replaced(spec, cluster_ip=old.cluster_ip)
    if old.may_have_node_ports and spec.may_have_node_ports:
        spec = replaced(spec, ports=_with_node_ports(old.ports, spec.ports))
    if old.has_health_port and spec.has_health_port and not spec.health_check_node_port:
        spec = replaced(spec, health_check_node_port=old.health_check_node_port)
    return spec


def _without_old_type(old: ServiceSpec, new: ServiceSpec) -> ServiceSpec:
    """Drop what only the old type has, where it was sent back unchanged."""
    spec = new
    if new.type == "ExternalName" != old.type and new.cluster_ip in ("", old.cluster_ip):
        spec = replaced(spec, cluster_ip="", cluster_ips=(), ip_families=(), ip_family_policy="")
        spec = replaced(spec, internal_traffic_policy="")
    if old.type == "ExternalName" != new.type and new.external_name == old.external_name:
        spec = replaced(spec, external_name="")
    is_without = old.may_have_node_ports and not new.may_have_node_ports
    if is_without and _numbers(new) <= _numbers(old):
        ports = tuple(replaced(one, node_port=0) for one in spec.ports)
        spec = replaced(spec, ports=ports)
    if (
        old.has_health_port
        and not new.has_health_port
        and new.health_check_node_port == old.health_check_node_port
    ):
        spec = replaced(spec, health_check_node_port=0)
    is_same = new.external_traffic_policy == old.external_traffic_policy
    if old.is_external and not new.is_external and is_same:
        spec = replaced(spec, external_traffic_policy="")
    if old.type == "LoadBalancer" != new.type:
        spec = _without_load_balancer(old, spec)
    return spec


def _without_load_balancer(old: ServiceSpec, spec: ServiceSpec) -> ServiceSpec:
    if spec.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports:
        spec = replaced(spec, allocate_load_balancer_node_ports=None)
    if spec.load_balancer_class == old.load_balancer_class:
        spec = replaced(spec, load_balancer_class=None)
    if spec.load_balancer_ip == old.load_balancer_ip:
        spec = replaced(spec, load_balancer_ip="")
    if spec.load_balancer_source_ranges == old.load_balancer_source_ranges:
        spec = replaced(spec, load_balancer_source_ranges=())
    return spec


def _numbers(spec: ServiceSpec) -> set[int]:
    return {one.node_port for one in spec.ports if one.node_port}


def _with_node_ports(
    old: tuple[ServicePort, ...], new: tuple[ServicePort, ...]
) -> tuple[ServicePort, ...]:
    """Give each port without a number the one that the port of its name had, if that is unused."""
    had = {one.name: one.node_port for one in old}
    used = {one.node_port for one in new if one.node_port}
    ports = []
    for one in new:
        number = had.get(one.name, 0)
        if not one.node_port and number and number not in used:
            used.add(number)
            one = replaced(one, node_port=number)
        ports.append(one)
    return tuple(ports)
