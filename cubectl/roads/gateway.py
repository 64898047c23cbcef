"""`cubectl gateway`: what the gateways serve, pods taken out of their roads and back, and copies.

A pod that is drained serves on, and callers of the service's cluster IP still reach it: gateways
alone lead nobody to it, but clients whose session has begun there.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from cubectl.output.printers import list_of, safe, table_text, yaml_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubectl.verbs import apply
from cubernetes.api.coding import codec
from cubernetes.api.condition import is_true
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import ROAD_NAMESPACE, is_serving_gateway
from cubernetes.api.core.node import Node
from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import ApiError, Conflict
from cubernetes.api.meta import Object
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.networking.ingressclass import IngressClass
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.threeway import LAST_APPLIED
from cubernetes.api.roads import DRAINED, RATES, Road, drained_of, roads_of

ROAD_KINDS: tuple[type[Object], ...] = (IngressClass, Ingress, Dns, RoutePolicy)
ATTEMPTS = 5  # how often a service is read again that somebody else is writing too
NONE = "<none>"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("status", "drain", "up", "export", "import"))
    parser.add_argument("words", nargs="*", metavar="POD ... | FILE ...")
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="status, export: of all namespaces"
    )


def run(options: Namespace, session: Session) -> None:
    what, words = options.what, options.words
    if what in ("status", "export") and words:
        raise Misused(f"{what} takes no names")
    if what not in ("status", "export") and not words:
        raise Misused(f"write gateway {what} {'FILE' if what == 'import' else 'POD'} ...")
    place = "" if options.all_namespaces else session.namespace
    match what:
        case "status":
            _tell(place, session)
        case "export":
            _export(place, session)
        case "import":
            _import(words, session)
        case _:
            _move([str(one).removeprefix("pod/") for one in words], session, is_out=what == "drain")


def _all[O: Object](session: Session, kind: type[O], namespace: str = "") -> list[O]:
    trees = session.api.list(kind.resource, namespace).items
    return [codec.from_tree(kind, tree).model for tree in trees]


def _tell(place: str, session: Session) -> None:
    leases = [one for one in _all(session, Lease, ROAD_NAMESPACE) if is_serving_gateway(one)]
    if not leases:
        raise Failed("no node has a gateway: cuberoot enable gateway")
    nodes = {one.metadata.name: one for one in _all(session, Node)}
    gateways = [["GATEWAY", "ADDRESS", "STATE"]]
    rates: dict[tuple[str, str, str], Rate] = {}
    for lease in leases:
        name = lease.spec.holder_identity
        node = nodes.get(name)
        is_there = node is not None and is_true(node.status.conditions, "Ready")
        address = node.address if node is not None else ""
        gateways.append([name, address or NONE, "Serving" if is_there else "NodeNotReady"])
        if is_there:
            _add(rates, lease)
    _print(gateways, session)
    session.say("")
    roads = roads_of(_all(session, Ingress), _all(session, IngressClass), _all(session, Dns))
    servers = Servers(_all(session, Service), _all(session, EndpointSlice))
    heads = ["HOST", "PATH", "SERVICE", "ENDPOINTS", "DRAINED", "REQ/S", "5XX/S", "MS"]
    rows = [
        [*servers.cells(road), *rates.get(_key(road), Rate()).cells]
        for road in roads.roads
        if place in ("", road.namespace)
    ]
    _print([heads, *rows], session)
    if refused := sum(len(whys) for whys in roads.refused.values()):
        session.tell(f"{refused} paths are not served: cubectl get events")


def _print(rows: Iterable[Iterable[str]], session: Session) -> None:
    session.out.write(table_text([[safe(cell) for cell in row] for row in rows]))


class Rate(NamedTuple):
    """How often a road is asked for, in the last seconds that were told."""

    requests: float = 0.0
    failed: float = 0.0
    each_ms: float = 0.0

    @property
    def cells(self) -> tuple[str, str, str]:
        each = f"{self.each_ms:.3g}" if self.requests else "-"
        return f"{self.requests:.3g}", f"{self.failed:.3g}", each


type Row = tuple[str, str, str, float, float, float]


def _add(rates: dict[tuple[str, str, str], Rate], lease: Lease) -> None:
    """Add what a gateway tells of its roads. Raises: Failed."""
    told = lease.metadata.annotations.get(RATES, "") or "[]"
    try:
        rows = msgspec.json.decode(told, type=tuple[Row, ...])
    except msgspec.DecodeError as error:
        raise Failed(f"{lease.ref}: its rates cannot be read: {error}") from error
    for *names, count, failed, each_ms in rows:
        key = (str(names[0]), str(names[1]), str(names[2]))
        before = rates.get(key, Rate())
        whole = before.requests + count
        each = (before.each_ms * before.requests + each_ms * count) / whole if whole else 0.0
        rates[key] = Rate(whole, before.failed + failed, each)


def _key(road: Road) -> tuple[str, str, str]:
    """Return what a gateway's log calls a road."""
    place = road.place
    form = "=" if place.is_exact else ""
    return place.host, form + place.path, f"{road.namespace}/{road.service}:{road.port}"


class Servers:
    """The endpoints of services."""

    def __init__(self, services: Iterable[Service], slices: Iterable[EndpointSlice]) -> None:
        self._services = {(one.metadata.namespace, one.metadata.name): one for one in services}
        self._slices: dict[tuple[str, str], list[EndpointSlice]] = {}
        for one in slices:
            place = (one.metadata.namespace, one.service_name)
            self._slices.setdefault(place, []).append(one)

    def cells(self, road: Road) -> tuple[str, str, str, str, str]:
        """Return a road, how many of its endpoints are ready, and which are out."""
        host, path, service = _key(road)
        found = self._services.get((road.namespace, road.service))
        if found is None:
            return host or "*", path, service, "NoService", NONE
        ready, every = set(), set()
        for one in self._slices.get((road.namespace, road.service), ()):
            if not self._has_port(found, road.port, one):
                continue
            every |= {endpoint.addresses[0] for endpoint in one.endpoints}
            ready |= {each.addresses[0] for each in one.endpoints if each.conditions.ready}
        drained = ",".join(sorted(drained_of(found.metadata.annotations))) or NONE
        return host or "*", path, service, f"{len(ready)}/{len(every)}", drained

    @staticmethod
    def _has_port(service: Service, wanted: int | str, one: EndpointSlice) -> bool:
        names = {each.name for each in service.spec.ports if wanted in (each.port, each.name)}
        return any(port.name in names for port in one.ports)


def _move(pods: Iterable[str], session: Session, *, is_out: bool) -> None:
    """Take pods out of the roads of all their services, or back."""
    services = {one.metadata.name: one for one in _all(session, Service, session.namespace)}
    behind: dict[str, set[str]] = {}
    for one in _all(session, EndpointSlice, session.namespace):
        behind.setdefault(one.service_name, set()).update(_pods_of(one))
    for pod in pods:
        if is_out:
            found = [name for name in sorted(services) if pod in behind.get(name, ())]
            why = f"pod/{safe(pod)} is behind no service of namespace {safe(session.namespace)}"
        else:
            found = [name for name in sorted(services) if pod in _drained_in(services[name])]
            why = f"pod/{safe(pod)} is drained from no service"
        if not found:
            session.fail(why)
        for name in found:
            try:
                _mark(name, pod, behind.get(name, set()), session, is_out=is_out)
            except ApiError as error:
                session.fail(safe(error.message))


def _drained_in(service: Service) -> frozenset[str]:
    return drained_of(service.metadata.annotations)


def _pods_of(one: EndpointSlice) -> Iterator[str]:
    return (each.target_ref.name for each in one.endpoints if each.target_ref is not None)


def _mark(name: str, pod: str, behind: set[str], session: Session, *, is_out: bool) -> None:
    """Change which pods a service's roads leave out; those that are gone are forgotten."""
    for attempt in range(ATTEMPTS):
        tree = session.api.get(Service.resource, name, session.namespace)
        meta = tree["metadata"]
        drained = (drained_of(meta.get("annotations") or {}) & behind) - {pod}
        drained |= {pod} if is_out else frozenset()
        told = ",".join(sorted(drained)) or None
        version = meta["resourceVersion"]
        change = {"metadata": {"resourceVersion": version, "annotations": {DRAINED: told}}}
        try:
            session.api.patch(Service.resource, name, session.namespace, change)
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    word = "drained from" if is_out else "up in"
    session.say(f"pod/{safe(pod)} {word} service/{safe(name)}")
    if behind and drained >= behind:
        session.tell(f"service/{safe(name)} has no pod left: gateways answer 503 for it")


def _export(place: str, session: Session) -> None:
    """Write all that makes roads, as another cluster takes it."""
    trees = [
        _portable(tree)
        for kind in ROAD_KINDS
        for tree in session.api.list(kind.resource, place if kind.resource.namespaced else "").items
    ]
    session.out.write(yaml_text(list_of(trees)))
    if secrets := sorted(set(_secrets_in(trees))):
        session.tell(f"not among them, but named: secrets {', '.join(map(safe, secrets))}")


def _portable(tree: Tree) -> Tree:
    """Return an object without what its cluster has added."""
    meta = tree["metadata"]
    kept: dict[str, object] = {key: meta[key] for key in ("name", "namespace") if meta.get(key)}
    notes: Mapping[str, str] = meta.get("annotations") or {}
    notes = {key: value for key, value in notes.items() if key != LAST_APPLIED}
    more = {"labels": meta.get("labels"), "annotations": notes}
    kept |= {key: value for key, value in more.items() if value}
    return {**{key: tree[key] for key in tree if key != "status"}, "metadata": kept}


def _secrets_in(trees: Iterable[Tree]) -> Iterator[str]:
    for tree in trees:
        spec, namespace = tree.get("spec") or {}, tree["metadata"].get("namespace", "")
        tls = spec.get("tls") or ()
        entries = (
            tls if isinstance(tls, list) else [tls.get("clientCertificates") or {}] if tls else []
        )
        for one in entries:
            if one.get("secretName"):
                yield f"{namespace}/{one['secretName']}"


def _import(files: Iterable[str], session: Session) -> None:
    """Apply files, as `cubectl apply` does."""
    parser = ArgumentParser(add_help=False)
    apply.configure(parser)
    words = [word for one in files for word in ("-f", str(one))]
    apply.run(parser.parse_args(words), session)


VERB = Verb(configure, run)
