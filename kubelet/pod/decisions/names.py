"""Whom a pod's containers ask for names: its dnsPolicy and dnsConfig, as Kubernetes has them. Pure.

ClusterFirst asks the node's resolver, and tries the cluster's domains before the node's own;
Default is what the node itself has; None begins with nothing. dnsConfig adds to each of them.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from cubernetes.api.core.pod import Pod
from cubernetes.host.names.resolvconf import SEARCHES_MAX, SERVERS_MAX, ResolvConf

CLUSTER_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet")
# So that `web` and `web.shop.svc` are tried below the cluster's domains first.
CLUSTER_OPTIONS = ("ndots:5",)


def names_for(pod: Pod, servers: tuple[str, ...], domain: str, host: ResolvConf) -> ResolvConf:
    """Return what a pod's resolv.conf says.

    servers: the node's resolver; none is a node without one, whose pods ask whom it asks.
    host: what the node's resolv.conf says, without the resolver.
    """
    policy = pod.spec.dns_policy
    if policy == "None":
        return _with_config(pod, ResolvConf())
    is_nodes = pod.spec.host_network and policy == "ClusterFirst"
    if servers and policy in CLUSTER_POLICIES and not is_nodes:
        searches = (*cluster_searches(pod.metadata.namespace, domain), *host.searches)
        return _with_config(pod, ResolvConf(servers, searches, CLUSTER_OPTIONS))
    # A pod has a loopback of its own: a server there is reached through the node's resolver.
    is_shared = pod.spec.host_network
    reachable = tuple(one for one in host.servers if is_shared or not IPv4Address(one).is_loopback)
    return _with_config(pod, host._replace(servers=reachable or servers))


def cluster_searches(namespace: str, domain: str) -> tuple[str, ...]:
    """Return the domains below which a pod's short names are tried, in order."""
    return (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)


def full_name(pod: Pod, hostname: str, domain: str) -> str:
    """Return the name of a pod below its headless service; empty where it names none."""
    subdomain = pod.spec.subdomain
    return f"{hostname}.{subdomain}.{pod.metadata.namespace}.svc.{domain}" if subdomain else ""


def _with_config(pod: Pod, base: ResolvConf) -> ResolvConf:
    """Add dnsConfig: more servers and domains, and options in the place of those of their name."""
    config = pod.spec.dns_config
    if config is None:
        return base._replace(searches=_first(base.searches, SEARCHES_MAX))
    options = dict(_option(one) for one in base.options)
    options |= {one.name: one.value for one in config.options}
    return ResolvConf(
        _first((*base.servers, *config.nameservers), SERVERS_MAX),
        _first((*base.searches, *config.searches), SEARCHES_MAX),
        tuple(name if value is None else f"{name}:{value}" for name, value in options.items()),
    )


def _option(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    return name, value if colon else None


def _first(texts: Iterable[str], count: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))[:count]
