"""Every filter and every score there is. What they must keep to stands in plugin.py.

Filters are asked in this order, and the first reason is the node's: cheap and telling ones come
first.
"""

from cubernetes.scheduling.plugin import Filter, PeerFilter, PeerScore, Score
from cubernetes.scheduling.plugins.affinity import NODE_AFFINITY, NODE_PREFERENCE
from cubernetes.scheduling.plugins.podaffinity import APART, TOGETHER, WISHES
from cubernetes.scheduling.plugins.ports import PORTS
from cubernetes.scheduling.plugins.ready import READY
from cubernetes.scheduling.plugins.resources import RESOURCES
from cubernetes.scheduling.plugins.selector import SELECTOR
from cubernetes.scheduling.plugins.spread import EVENNESS, SPREAD
from cubernetes.scheduling.plugins.taints import SOFT_TAINTS, TAINTS
from cubernetes.scheduling.plugins.volumes import VOLUMES

FILTERS: tuple[Filter, ...] = (READY, SELECTOR, NODE_AFFINITY, TAINTS, VOLUMES, RESOURCES, PORTS)
SCORES: tuple[Score, ...] = (SOFT_TAINTS, NODE_PREFERENCE)
# About other pods: asked before the others, as they cost less, and told after them.
PEER_FILTERS: tuple[PeerFilter, ...] = (TOGETHER, APART, SPREAD)
PEER_SCORES: tuple[PeerScore, ...] = (WISHES, EVENNESS)
