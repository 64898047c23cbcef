"""The commands that make and unmake a node, each from its beginning to its end."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import NamedTuple

import msgspec

from cubernetes.api.addresspool import pool_of
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.node import Node, is_network
from cubernetes.api.errors import ApiError, NotFound, Problem
from cubernetes.api.names import is_subdomain
from cubernetes.api.portrange import range_of
from cubernetes.client.outcome import TransportError
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.generation import generation
from cuberoot import apply, certificates, layout, pki, tokens
from cuberoot import join as joining
from cuberoot.apply import NotInitialised, Programs, Say
from cuberoot.cluster import (
    API_PORT,
    CONTROL_PLANE_LABEL,
    DOMAIN,
    Cluster,
    PodNetwork,
    PodSecurity,
    ProxyBackend,
    Ranges,
    Role,
    kept_logs_bytes_in,
    node_of,
)
from cuberoot.host import probe
from cuberoot.host.alone import alone
from cuberoot.host.facts import facts_of_this_machine
from cuberoot.host.journal import Journal
from cuberoot.host.plugins import lacks_of_network
from cuberoot.host.weave import peers_told
from cuberoot.plan import Choice, Facts, Lack, advice_for, chosen, lacks_of, ports_of
from cuberoot.registry import enabled_in, optional_for

MADE_PASSWORD_CHARS = 32
# Of a name's 253 characters: pods' host names, subdomains and namespaces need most.
DOMAIN_CHARS_MAX = 63
DOMAIN_RULE = (
    f"must be a domain in lower case of at most {DOMAIN_CHARS_MAX} characters, such as {DOMAIN}"
)


class NodeWish(NamedTuple):
    """What an administrator says of a new node. address: see plan.chosen; empty: nothing."""

    manifest: bytes | None = None
    address: str = ""


class NotFit(Exception):
    """This machine cannot become a node as it is; the text lists everything that is missing."""

    def __init__(self, lacks: list[Lack]) -> None:
        listed = "".join(f"\n  - {one}" for one in lacks)
        super().__init__(f"this machine is not ready:{listed}")
        self.lacks = lacks


async def init(
    wish: NodeWish,
    ranges: Ranges,
    network: PodNetwork | None,
    env: Env,
    say: Say,
    pod_security: PodSecurity | None = None,
) -> None:
    """Make this machine a control plane; finishes what an interrupted run has left.

    network: None: what an earlier run said, else ours. pod_security: likewise, else privileged.
    """
    _check_ranges(ranges)
    known = apply.known_cluster()
    if known is not None and not known.is_control_plane:
        raise NotInitialised("this machine is a worker of a cluster: run cuberoot reset first")
    if known is not None and network is not None and not _is_same(network, known.pod_network):
        raise NotInitialised(
            f"this cluster's pod network is {known.network}, and stays so while it lives: "
            "cuberoot reset on every node, then init"
        )
    if known is not None and ranges.domain not in ("", known.cluster_domain):
        raise NotInitialised(
            f"this cluster's domain is {known.cluster_domain}, and stays so while it lives: "
            "cuberoot reset on every node, then init"
        )
    wanted = network or PodNetwork()
    cluster = known or await _new_cluster(wish, ranges, wanted, env, say)
    if ranges.load_balancer_pool:
        cluster = msgspec.structs.replace(cluster, load_balancer_pool=ranges.load_balancer_pool)
    if pod_security is not None:
        cluster = msgspec.structs.replace(cluster, pod_security=pod_security)
    journal = Journal()
    apply.write_node(cluster, journal)
    apply.make_certificates(cluster, journal, env)
    say(f"files written under {layout.CONFIG}")
    await Programs(cluster, env, say).start()
    await _complete(cluster, env, say)
    await tokens.create(env, say, hours=24, is_once=True)


def _is_same(wanted: PodNetwork, known: PodNetwork) -> bool:
    """Tell whether the options say nothing new; a password that was made need not be told."""
    password = wanted.weave_password or known.weave_password
    return wanted._replace(weave_password=password) == known


async def _complete(cluster: Cluster, env: Env, say: Say) -> None:
    """Add what a cluster has of its own: this node's role, and a class for claims."""
    client = probe.admin_client(cluster, env)
    change = {"metadata": {"labels": {CONTROL_PLANE_LABEL: ""}}}
    try:
        await client.patch(Node, cluster.node_name, "", change)
        if await apply.add_default_class(client):
            say(f"StorageClass {apply.DEFAULT_CLASS} made: volumes on the nodes' own disks")
    finally:
        await client.close()


async def _new_cluster(
    wish: NodeWish, ranges: Ranges, network: PodNetwork, env: Env, say: Say
) -> Cluster:
    facts, node, enabled, _ = await _fit_node(wish, "control-plane", env, say, network)
    return Cluster(
        role="control-plane",
        node_name=node.metadata.name,
        address=node.address,
        labels=node.metadata.labels,
        kept_logs_bytes=kept_logs_bytes_in(node),
        servers=(f"https://{node.address}:{API_PORT}",),
        service_range=ranges.services,
        pod_range=ranges.pods,
        cluster_domain=ranges.domain or DOMAIN,
        node_port_range=ranges.node_ports,
        load_balancer_pool=ranges.load_balancer_pool,
        network=network.kind,
        cni_config=network.cni_config,
        weave_password=_password(network, env),
        python=apply.python_here(),
        etcd=facts.tools["etcd"],
        supervision="systemd" if facts.is_systemd else "supervisord",
        enabled=enabled,
    )


def _password(network: PodNetwork, env: Env) -> str:
    """Return what Weave's routers know each other by: what was given, else one that is made."""
    if network.kind != "weave":
        return ""
    return network.weave_password or env.rng.chars(MADE_PASSWORD_CHARS)


async def _fit_node(
    wish: NodeWish,
    role: Role,
    env: Env,
    say: Say,
    network: PodNetwork | None = None,
) -> tuple[Facts, Node, tuple[str, ...], str]:
    """Return this machine, the Node that it is to be, and the optional programs it is to run.

    The last is the network in which its address may change; empty: none.

    network: that of the cluster, where it is known already.

    Raises: NotFit, BadRequest, Invalid.
    """
    kind = network.kind if network is not None else "vxlan"
    facts = await facts_of_this_machine(env, ports_of(role, optional_for(role), kind))
    choice = Choice(facts.addresses[0] if facts.addresses else "")
    if "ip" not in facts.tools:
        # Without it no address is known, and no manifest can be judged.
        raise NotFit(lacks_of(facts, role, choice.address))
    if wish.address:
        choice = _chosen(wish.address, facts)
    node = node_of(wish.manifest, facts.host_name, choice.address)
    if wish.address and node.address != choice.address:
        problem = Problem("status.addresses", "is not what --node-address says: give one of them")
        raise invalid("Node", node.metadata.name, [problem])
    enabled = enabled_in(node, role)
    busy = facts.busy_ports & set(ports_of(role, enabled, kind))
    lacks = lacks_of(replace(facts, busy_ports=busy), role, node.address)
    lacks += await lacks_of_network(network or PodNetwork(), env)
    if lacks:
        raise NotFit(lacks)
    for advice in advice_for(facts):
        say(f"note: {advice}")
    return facts, node, enabled, choice.network


def _chosen(text: str, facts: Facts) -> Choice:
    """Raises: Invalid."""
    try:
        return chosen(text, facts.cards)
    except ValueError as error:
        problem = Problem("--node-address", str(error))
        raise invalid("Node", facts.host_name, [problem]) from error


def _check_ranges(ranges: Ranges) -> None:
    service_range, pod_range = ranges.services, ranges.pods
    problems = [
        Problem(field, f"must be an IPv4 network such as 10.96.0.0/16, not {text[:40]!r}")
        for field, text in (("--service-range", service_range), ("--pod-range", pod_range))
        if not is_network(text)
    ]
    if not problems and IPv4Network(service_range).overlaps(IPv4Network(pod_range)):
        problems.append(Problem("--service-range", "must not overlap --pod-range"))
    problems += _pool_problems(ranges)
    is_domain = is_subdomain(ranges.domain) and len(ranges.domain) <= DOMAIN_CHARS_MAX
    if ranges.domain and not is_domain:
        problems.append(Problem("--cluster-domain", DOMAIN_RULE))
    try:
        range_of(ranges.node_ports)
    except ValueError as error:
        problems.append(Problem("--node-port-range", str(error)))
    if problems:
        raise invalid("Cluster", "", problems)


def _pool_problems(ranges: Ranges) -> Iterator[Problem]:
    try:
        pool = pool_of(ranges.load_balancer_pool)
    except ValueError as error:
        yield Problem("--load-balancer-pool", str(error))
        return
    for option, text in (("--service-range", ranges.services), ("--pod-range", ranges.pods)):
        if is_network(text) and pool.overlaps(IPv4Network(text)):
            yield Problem("--load-balancer-pool", f"must not overlap {option}")


async def join(server: str, token: str, ca_hash: str, wish: NodeWish, env: Env, say: Say) -> None:
    """Make this machine a worker; finishes what an interrupted run has left."""
    joining.check_pin(ca_hash)
    known = apply.known_cluster()
    if known is not None and known.is_control_plane:
        raise NotInitialised("this machine is a control plane: run cuberoot reset first")
    if known is not None and not _is_of_cluster(ca_hash):
        raise NotInitialised("this machine is a worker of another cluster: cuberoot reset first")
    if known is not None and not _is_good(known, env):
        await _rejoined(known, server, token, ca_hash, env)
        say("this node has new certificates")
    if known is None:
        facts, node, enabled, within = await _fit_node(wish, "worker", env, say)
        internal = tuple(one.address for one in node.status.addresses if one.type == "InternalIP")
        place = joining.Place(node.metadata.name, internal, within)
        ticket = await joining.joined(server, token, ca_hash, place, env, enabled)
        say("the cluster's certificate matches the pin; this node's certificates are signed")
        known = Cluster(
            role="worker",
            node_name=node.metadata.name,
            address=node.address,
            address_network=within,
            labels=node.metadata.labels,
            kept_logs_bytes=kept_logs_bytes_in(node),
            servers=ticket.servers,
            service_range=ticket.service_range,
            pod_range=ticket.pod_range,
            cluster_domain=ticket.cluster_domain,
            network=ticket.network.kind,
            cni_config=ticket.network.cni_config,
            weave_password=ticket.network.weave_password,
            python=apply.python_here(),
            supervision="systemd" if facts.is_systemd else "supervisord",
            enabled=enabled,
        )
        joining.write_certificates(ticket, Journal())
    # Also where this machine has joined before: that run may have been cut while it wrote them.
    apply.write_node(known, Journal())
    say(f"files written under {layout.CONFIG}")
    # What the network needs is known only now. Once it is there, the same command goes on.
    if lacks := await lacks_of_network(known.pod_network, env):
        raise NotFit(lacks)
    await Programs(known, env, say).start()


async def _rejoined(known: Cluster, server: str, token: str, ca_hash: str, env: Env) -> None:
    """Give a worker other certificates; the token is used where its own open nothing any more."""
    try:
        ticket = await joining.renewed(known, env)
    except joining.JoinRefused:
        place = joining.place_of(known)
        ticket = await joining.joined(server, token, ca_hash, place, env, known.enabled)
    joining.write_certificates(ticket, Journal())


def _is_of_cluster(ca_hash: str) -> bool:
    own = read_or_none(layout.CLUSTER_CA.cert)
    return own is not None and pki.pin_of(own) == ca_hash.strip().lower()


def own_cluster() -> Cluster:
    known = apply.known_cluster()
    if known is None:
        raise NotInitialised("this machine is no node yet: run cuberoot init or cuberoot join")
    return known


async def start(env: Env, say: Say, proxy_backend: ProxyBackend | None = None) -> None:
    """Start the programs, by files written anew: a newer version may want others.

    proxy_backend: what this node's proxy uses from now on; None: what it used before.

    Alone only while it writes: it may wait long for a cluster that is away, which must keep nobody
    from stopping or resetting this node.
    """
    with alone():
        cluster = own_cluster()
        if proxy_backend is not None:
            cluster = msgspec.structs.replace(cluster, proxy_backend=proxy_backend)
        if cluster.proxy_backend == "nftables" and generation() is None:
            remedy = "load the module nf_tables, or start with --proxy-backend iptables"
            raise NotFit([Lack("nf_tables in this kernel", remedy)])
        apply.write_node(cluster, Journal())
        await renewed_in_time(cluster, env, say)
    await Programs(cluster, env, say).start()


async def renew(
    env: Env, say: Say, *, has_new_password: bool = False, has_new_token_key: bool = False
) -> None:
    """Give this node new certificates, and start anew what uses them.

    has_new_password: on a control plane, the routers of Weave too are to know each other by another
    one; a worker takes what the cluster has with every renewal. has_new_token_key: on a control
    plane, another key is to sign tokens of service accounts.
    """
    cluster = own_cluster()
    if has_new_password:
        if cluster.network != "weave" or not cluster.is_control_plane:
            raise NotInitialised(
                "--weave-password is for the control plane of a cluster over Weave"
            )
        made = env.rng.chars(MADE_PASSWORD_CHARS)
        cluster = msgspec.structs.replace(cluster, weave_password=made)
        say("the routers have a new password: run cuberoot renew on every other node")
    if has_new_token_key:
        if not cluster.is_control_plane:
            raise NotInitialised("--token-key is for the control plane")
        certificates.replace_token_key(Journal(), env.clock.now())
        say("tokens have a new key: those of the old one are good until they end")
    cluster = await _renewed(cluster, env)
    apply.write_node(cluster, Journal())
    await Programs(cluster, env, say).start()
    say(f"certificates end {certificates.ends_at(cluster):%Y-%m-%d}")


async def _renewed(cluster: Cluster, env: Env) -> Cluster:
    """Give a node other certificates; return what it knows of its cluster then."""
    if cluster.is_control_plane:
        apply.make_certificates(cluster, Journal(), env, is_renewal=True)
        return cluster
    ticket = await joining.renewed(cluster, env)
    joining.write_certificates(ticket, Journal())
    return msgspec.structs.replace(cluster, weave_password=ticket.network.weave_password)


async def renewed_in_time(cluster: Cluster, env: Env, say: Say) -> None:
    """Renew what is near its end; a cluster that cannot be asked must not keep the node down."""
    if cluster.is_control_plane:
        apply.make_certificates(cluster, Journal(), env)
    elif not _is_good(cluster, env):
        try:
            await _renewed(cluster, env)
        except joining.JoinRefused as error:
            say(f"note: the certificates are not renewed: {error}")


def _is_good(cluster: Cluster, env: Env) -> bool:
    """Tell whether every certificate of this node is whole, and good for a while."""
    now = env.clock.now()
    return all(certificates.is_good(name, now) for name in certificates.names_of(cluster))


async def stop(env: Env, say: Say) -> None:
    await Programs(own_cluster(), env, say).stop()


async def status(env: Env, say: Say) -> None:
    """Show programs and the node; raises where something is not as it should be."""
    cluster = own_cluster()
    say(f"node {cluster.node_name} ({cluster.role}) at {cluster.address}")
    conditions = await Programs(cluster, env, say).conditions()
    for program, condition in conditions.items():
        say(f"  {program:<12} {condition}")
    for name in optional_for(cluster.role):
        if name not in cluster.enabled:
            say(f"  {name:<12} disabled")
    say(f"  certificates {_ending(cluster)}{'' if _is_good(cluster, env) else ': cuberoot renew'}")
    if cluster.network == "weave":
        for line in await peers_told():
            say(f"    {line}")
    client = probe.node_client(cluster, env)
    try:
        missing = await probe.node_missing(client, cluster.node_name)()
    finally:
        await client.close()
    down = [program for program, condition in conditions.items() if condition != "running"]
    if down or missing:
        raise NotInitialised("; ".join([f"{one} is not running" for one in down] + [missing]))
    say("  Ready")


def _ending(cluster: Cluster) -> str:
    try:
        return f"end {certificates.ends_at(cluster):%Y-%m-%d}"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"


async def reset(env: Env, say: Say) -> None:
    """Remove this node from its cluster, and everything of ours from this machine."""
    cluster = apply.known_cluster()
    journal = Journal()
    if cluster is not None:
        if not cluster.is_control_plane:
            await _leave(cluster, env, say)
        programs = Programs(cluster, env, say)
        await programs.stop()
        await apply.clean_node(cluster, env, say)
        await programs.close()
    for folder in journal.undo():
        say(f"{folder} stays: it holds files of others")
    say("this machine is no node any more")


async def _leave(cluster: Cluster, env: Env, say: Say) -> None:
    """Take the Node out of the API; a cluster that cannot be asked must not keep us here.

    The kubelet is stopped first, so that no report of it comes after the deletion.
    """
    await Programs(cluster, env, say).stop()
    client = probe.node_client(cluster, env)
    try:
        await client.delete(Node, cluster.node_name)
        say(f"node {cluster.node_name} deleted from the cluster")
    except NotFound:
        say(f"node {cluster.node_name} was not in the cluster")
    except (ApiError, TransportError) as error:
        say(f"the cluster was not told ({error}): cubectl delete node {cluster.node_name}")
    finally:
        await client.close()
