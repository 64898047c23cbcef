"""Every filter and every penalty there is; filters in the order in which they are asked.

A filter takes a pod's requests and a node and returns why the pod cannot go there, or the empty
text. It must depend on nothing else, and must not let pass with more usage what it refused with
less: the snapshot remembers refusals until a node's room grows. Cheap and telling ones come first.

A penalty takes the same and returns a number: of the nodes that pass, the pod goes to one with the
least sum, the next in the round where several have it. 0 is a node as good as any: the search ends
at the first of these, so that penalties cost nothing where no node has any.
"""

from collections.abc import Callable

from scheduler.nodeinfo import NodeInfo, PodRequests
from scheduler.plugins.ports import ports
from scheduler.plugins.ready import ready
from scheduler.plugins.resources import resources
from scheduler.plugins.selector import selector
from scheduler.plugins.taints import soft_taints, taints

type Filter = Callable[[PodRequests, NodeInfo], str]
type Penalty = Callable[[PodRequests, NodeInfo], int]

FILTERS: tuple[Filter, ...] = (ready, selector, taints, resources, ports)
PENALTIES: tuple[Penalty, ...] = (soft_taints,)
