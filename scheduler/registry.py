"""Every filter there is, in the order in which they are asked: cheap and telling ones first.

A filter takes a demand and a seat and returns why the pod cannot go there, or the empty text. It
must depend on nothing else, and must not let pass with more load what it refused with less: the
snapshot remembers refusals until a node's room grows.
"""

from collections.abc import Callable

from scheduler.plugins.ports import ports
from scheduler.plugins.ready import ready
from scheduler.plugins.resources import resources
from scheduler.plugins.selector import selector
from scheduler.seat import Demand, Seat

type Filter = Callable[[Demand, Seat], str]

FILTERS: tuple[Filter, ...] = (ready, selector, resources, ports)
