"""Every filter and every score there is. What they must keep to stands in plugin.py.

Filters are asked in this order, and the first reason is the node's: cheap and telling ones come
first.
"""

from scheduler.plugin import Filter, PeerFilter, PeerScore, Score
from scheduler.plugins.affinity import NODE_AFFINITY, NODE_PREFERENCE
from scheduler.plugins.podaffinity import APART, TOGETHER, WISHES
from scheduler.plugins.ports import PORTS
from scheduler.plugins.ready import READY
from scheduler.plugins.resources import RESOURCES
from scheduler.plugins.selector import SELECTOR
from scheduler.plugins.spread import EVENNESS, SPREAD
from scheduler.plugins.taints import SOFT_TAINTS, TAINTS

FILTERS: tuple[Filter, ...] = (READY, SELECTOR, NODE_AFFINITY, TAINTS, RESOURCES, PORTS)
SCORES: tuple[Score, ...] = (SOFT_TAINTS, NODE_PREFERENCE)
# About other pods: asked before the others, as they cost less, and told after them.
PEER_FILTERS: tuple[PeerFilter, ...] = (TOGETHER, APART, SPREAD)
PEER_SCORES: tuple[PeerScore, ...] = (WISHES, EVENNESS)
