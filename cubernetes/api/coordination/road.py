"""Roads: programs that lead callers to pods, and the Leases by which they acknowledge. Pure.

A road is a service proxy, a gateway, or whatever else sends callers to the endpoints of services.
Each has a Lease in ROAD_NAMESPACE, `<program>-<node>`, with ROAD_LABEL; its holder is the node. Its
annotation APPLIED is the newest revision of EndpointSlices that is in force there: callers of this
road are led as the slices stood at that revision, or later. A road has its Lease from before it
leads anybody until it leads nobody any more. The Lease goes with its Node.
"""

from collections.abc import Mapping
from datetime import datetime

from cubernetes.api.coordination.lease import Lease, LeaseSpec
from cubernetes.api.core.node import Node
from cubernetes.api.meta import ObjectMeta, replaced

ROAD_NAMESPACE = "cube-road-lease"
ROAD_LABEL = "cubernetes.io/road"
APPLIED = "cubernetes.io/applied"
# The program of the roads that are gateways, and the revision that one acknowledges which serves
# while there is no slice at all: every other one is newer.
GATEWAY_ROAD, NO_SLICES = "gateway", 1
# A Lease must say for how long it holds; nobody counts it: a Node's own Lease shows that it lives.
DURATION_S = 3600

# What a pod's status says of its roads (conditions).
# True: every road leads to it that leads anybody. False from when it is ready until then.
ROUTES_READY = "cubernetes.io/RoutesReady"
# True: it is terminating, and no road leads a new connection to it any more.
ROUTES_REMOVED = "cubernetes.io/RoutesRemoved"


def road_lease_name(program: str, node: str) -> str:
    return f"{program}-{node}"


def is_road(lease: Lease) -> bool:
    return lease.metadata.namespace == ROAD_NAMESPACE and ROAD_LABEL in lease.metadata.labels


def is_serving_gateway(lease: Lease) -> bool:
    """Tell whether a gateway serves what the cluster says: it has acknowledged anything at all."""
    is_gateway = lease.metadata.labels.get(ROAD_LABEL) == GATEWAY_ROAD
    return is_road(lease) and is_gateway and applied_revision(lease) >= NO_SLICES


def applied_revision(lease: Lease) -> int:
    """Return the revision that a road has acknowledged; 0 where it says nothing sensible."""
    text = lease.metadata.annotations.get(APPLIED, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0


def road_lease(program: str, node: Node, revision: int, now: datetime) -> Lease:
    """Return the Lease of a road that has none yet; it goes with the Node."""
    name = node.metadata.name
    meta = ObjectMeta(
        name=road_lease_name(program, name),
        namespace=ROAD_NAMESPACE,
        labels={ROAD_LABEL: program},
        annotations={APPLIED: str(revision)},
        owner_references=(replaced(node.owner_reference(), controller=False),),
    )
    spec = LeaseSpec(holder_identity=name, lease_duration_seconds=DURATION_S, acquire_time=now)
    return Lease(metadata=meta, spec=replaced(spec, renew_time=now))


def acknowledged(
    lease: Lease, revision: int, now: datetime, more: Mapping[str, str] | None = None
) -> Lease:
    """Return the Lease as it says that a revision is in force, and more beside."""
    notes = {**lease.metadata.annotations, APPLIED: str(revision), **(more or {})}
    meta = replaced(lease.metadata, annotations=notes)
    return replaced(lease, metadata=meta, spec=replaced(lease.spec, renew_time=now))
