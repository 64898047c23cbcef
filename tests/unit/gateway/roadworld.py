"""Ingresses and Dnses as tests of roads begin with them: each names only what it is about."""

from datetime import timedelta

from cubernetes.api.cubernetes.dns import Dns, DnsPath, DnsSpec
from cubernetes.api.networking.ingress import (
    HTTPIngressPath,
    HTTPIngressRule,
    Ingress,
    IngressBackend,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
    IngressTLS,
    ServiceBackendPort,
)
from cubernetes.api.networking.ingressclass import GATEWAY, IngressClass, IngressClassSpec
from tests.given import NOW, a_meta

CLASSES = (
    IngressClass(metadata=a_meta("gateway", ""), spec=IngressClassSpec(controller=GATEWAY)),
    IngressClass(metadata=a_meta("nginx", ""), spec=IngressClassSpec(controller="k8s.io/nginx")),
)


def a_backend(text: str) -> IngressBackend:
    """Return a backend: `web`, `web:8080`, `web:http`."""
    name, _, port = text.partition(":")
    number = int(port or 80) if (port or "80").isdigit() else 0
    told = ServiceBackendPort(name="" if number else port, number=number)
    return IngressBackend(service=IngressServiceBackend(name=name, port=told))


def a_path(text: str) -> HTTPIngressPath:
    """Return a path: `/a web`, `=/a web:8080` (exact), `web` (every path)."""
    path, _, target = text.rpartition(" ")
    backend = a_backend(target)
    if not path:
        return HTTPIngressPath(path_type="ImplementationSpecific", backend=backend)
    if path.startswith("="):
        return HTTPIngressPath(path=path.lstrip("="), path_type="Exact", backend=backend)
    return HTTPIngressPath(path=path, path_type="Prefix", backend=backend)


def an_ingress(
    name: str = "roads",
    *rules: tuple[str, tuple[str, ...]],
    default: str = "",
    ingress_class: str = "",
    age_s: int = 60,
    namespace: str = "default",
    tls: tuple[tuple[str, tuple[str, ...]], ...] = (),
) -> Ingress:
    """Return an Ingress of rules (host, paths), and of TLS (secret, hosts)."""
    return Ingress(
        metadata=a_meta(name, namespace, created_at=NOW - timedelta(seconds=age_s), generation=1),
        spec=IngressSpec(
            ingress_class_name=ingress_class,
            default_backend=a_backend(default) if default else None,
            rules=tuple(
                IngressRule(host=host, http=HTTPIngressRule(paths=tuple(map(a_path, paths))))
                for host, paths in rules
            ),
            tls=tuple(IngressTLS(secret_name=secret, hosts=hosts) for secret, hosts in tls),
        ),
    )


def a_dns(
    name: str = "roads",
    host: str = "roads.example",
    *paths: str,
    age_s: int = 60,
    namespace: str = "default",
) -> Dns:
    """Return a Dns; each path is `/a web`, or `=/a web:8080` where it is exact."""
    told = []
    for text in paths or ("/ web",):
        path, _, target = text.rpartition(" ")
        service, _, port = target.partition(":")
        told.append(
            DnsPath(
                path=path.lstrip("="),
                path_type="Exact" if path.startswith("=") else "Prefix",
                service_name=service,
                service_port=int(port or 80) if (port or "80").isdigit() else port,
            )
        )
    return Dns(
        metadata=a_meta(name, namespace, created_at=NOW - timedelta(seconds=age_s), generation=1),
        spec=DnsSpec(host=host, paths=tuple(told)),
    )
