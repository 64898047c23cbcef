"""A pod goes where its volumes are, or where those that are still to be chosen can be."""

from cubernetes.api.core.podspec.placement.nodes import is_required
from cubernetes.api.meta import Labels
from cubernetes.scheduling.nodeinfo import NodeInfo, PodRequests, VolumeNeed
from cubernetes.scheduling.plugin import Filter, News

CONFLICT = "had volume node affinity conflict"
NOTHING_FREE = "didn't find available persistent volumes to bind"


def volumes(requests: PodRequests, node: NodeInfo) -> str:
    if not requests.volumes:
        return ""
    name, labels = node.facts.name, dict(node.facts.labels)
    taken: set[str] = set()
    for need in requests.volumes:
        if need.affinity is not None and not is_required(need.affinity, name, labels):
            return CONFLICT
        if need.is_free and not _is_met(need, name, labels, taken):
            return NOTHING_FREE
    return ""


def _is_met(need: VolumeNeed, name: str, labels: Labels, taken: set[str]) -> bool:
    """Take the first free volume that the node reaches, or have one made there."""
    for one in need.free:
        is_reached = one.affinity is None or is_required(one.affinity, name, labels)
        if is_reached and one.name not in taken:
            taken.add(one.name)
            return True
    return need.is_made and (
        not need.topologies
        or any(
            all(labels.get(each.key) in each.values for each in term.match_label_expressions)
            for term in need.topologies
        )
    )


VOLUMES = Filter(volumes, helped_by=News.LABELS)
