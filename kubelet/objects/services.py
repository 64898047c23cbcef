"""The variables by which a container finds services, as Kubernetes and Docker's links had them."""

from collections.abc import Iterable, Mapping

from cubernetes.api.core.service import HEADLESS, Service

# The service of the API server: every container hears of it, whatever its namespace.
API_NAMESPACE, API_NAME = "default", "kubernetes"


def services_for(
    services: Iterable[Service], namespace: str, *, has_links: bool
) -> dict[str, Service]:
    """Return the services that a pod of a namespace hears of, by name, in the order of names.

    has_links: the pod wants those of its own namespace; they win over the API server's.
    """
    found: dict[str, Service] = {}
    for one in services:
        meta = one.metadata
        if one.spec.cluster_ip in ("", HEADLESS) or not one.spec.ports:
            continue
        if has_links and meta.namespace == namespace:
            found[meta.name] = one
        elif (meta.namespace, meta.name) == (API_NAMESPACE, API_NAME):
            found.setdefault(meta.name, one)
    return dict(sorted(found.items()))


def service_variables(
    services: Iterable[Service], namespace: str, *, has_links: bool
) -> Mapping[str, str]:
    """Return the variables of every service that a pod of a namespace hears of."""
    variables: dict[str, str] = {}
    for one in services_for(services, namespace, has_links=has_links).values():
        variables |= variables_of(one)
    return variables


def variables_of(service: Service) -> dict[str, str]:
    """Return FOO_SERVICE_HOST and _PORT, and FOO_PORT_80_TCP and its parts, for a service foo."""
    name, spec = word_of(service.metadata.name), service.spec
    address, ports = spec.cluster_ip, spec.ports
    found = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            found[f"{name}_SERVICE_PORT_{word_of(port.name)}"] = str(port.port)
    for index, port in enumerate(ports):
        protocol = port.protocol.lower()
        url = f"{protocol}://{address}:{port.port}"
        if index == 0:
            found[f"{name}_PORT"] = url
        prefix = f"{name}_PORT_{port.port}_{port.protocol}"
        found |= {
            prefix: url,
            f"{prefix}_PROTO": protocol,
            f"{prefix}_PORT": str(port.port),
            f"{prefix}_ADDR": address,
        }
    return found


def word_of(name: str) -> str:
    """Return a name as it stands in variables: upper case, `_` for `-`."""
    return name.replace("-", "_").upper()
