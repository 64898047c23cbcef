"""What makes a pod's placement legal, beyond the types of its fields."""

from collections.abc import Iterator

from cubernetes.api.core.podspec.placement.affinity import Affinity
from cubernetes.api.core.podspec.placement.noderules import node_problems
from cubernetes.api.core.podspec.placement.peerrules import peer_problems
from cubernetes.api.errors import Problem


def affinity_problems(affinity: Affinity | None, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the affinity that stands at field."""
    if affinity is None:
        return
    if affinity.node_affinity is not None:
        yield from node_problems(affinity.node_affinity, f"{field}.nodeAffinity")
    if affinity.pod_affinity is not None:
        yield from peer_problems(affinity.pod_affinity, f"{field}.podAffinity")
    if affinity.pod_anti_affinity is not None:
        yield from peer_problems(affinity.pod_anti_affinity, f"{field}.podAntiAffinity")
