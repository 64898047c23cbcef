"""Every filter and every score there is. What they must keep to stands in plugin.py.

Filters are asked in this order, and the first reason is the node's: cheap and telling ones come
first. Filters, and rules about other pods, hold for every pod; which scores count is said by the
*profile* that a pod names as its `schedulerName`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from cubernetes.scheduling.plugin import Filter, PeerFilter, PeerScore, Score
from cubernetes.scheduling.plugins.affinity import NODE_AFFINITY, NODE_PREFERENCE
from cubernetes.scheduling.plugins.allocation import BALANCED, LEAST_ALLOCATED, MOST_ALLOCATED
from cubernetes.scheduling.plugins.images import IMAGES
from cubernetes.scheduling.plugins.podaffinity import APART, TOGETHER, WISHES
from cubernetes.scheduling.plugins.ports import PORTS
from cubernetes.scheduling.plugins.ready import READY
from cubernetes.scheduling.plugins.resources import RESOURCES
from cubernetes.scheduling.plugins.selector import SELECTOR
from cubernetes.scheduling.plugins.spread import EVENNESS, SPREAD
from cubernetes.scheduling.plugins.taints import SOFT_TAINTS, TAINTS
from cubernetes.scheduling.plugins.volumes import VOLUMES

FILTERS: tuple[Filter, ...] = (READY, SELECTOR, NODE_AFFINITY, TAINTS, VOLUMES, RESOURCES, PORTS)
SCORES: Mapping[str, Score] = MappingProxyType({
    "taints": SOFT_TAINTS,
    "node-affinity": NODE_PREFERENCE,
    "least-allocated": LEAST_ALLOCATED,
    "most-allocated": MOST_ALLOCATED,
    "balanced": BALANCED,
    "image-locality": IMAGES,
})  # fmt: skip
# About other pods: asked before the others, as they cost less, and told after them.
PEER_FILTERS: tuple[PeerFilter, ...] = (TOGETHER, APART, SPREAD)
PEER_SCORES: tuple[PeerScore, ...] = (WISHES, EVENNESS)

type Weights = Mapping[str, int]

# The profiles of every cluster: the weights of scores. The first goes round robin over equal nodes.
ROUND_ROBIN: Weights = MappingProxyType({"taints": 3, "node-affinity": 2})
PROFILES: Mapping[str, Weights] = MappingProxyType({
    "default-scheduler": ROUND_ROBIN,
    "least-allocated-scheduler": {
        **ROUND_ROBIN, "least-allocated": 1, "balanced": 1, "image-locality": 1,
    },
    "most-allocated-scheduler": {**ROUND_ROBIN, "most-allocated": 1, "image-locality": 1},
})  # fmt: skip


def weighted(weights: Weights) -> tuple[Score, ...]:
    """Return the scores of a profile, in the order of the registry.

    Raises: ValueError: of a name that no score has, or a weight below 1.
    """
    if unknown := sorted(weights.keys() - SCORES.keys()):
        raise ValueError(f"no score is called {unknown[0]!r}: there are {', '.join(SCORES)}")
    if wrong := sorted(name for name, weight in weights.items() if weight < 1):
        raise ValueError(f"the weight of {wrong[0]} must be at least 1")
    return tuple(
        one._replace(weight=weights[name]) for name, one in SCORES.items() if name in weights
    )


DEFAULT_SCORES = weighted(ROUND_ROBIN)
