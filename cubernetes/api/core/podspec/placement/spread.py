"""How evenly the pods of a selector must lie over places, and what holds a pod back at all."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.meta import Model, shown
from cubernetes.api.selectors import TERM_MAX, LabelSelector

type Policy = Literal["Honor", "Ignore"]
Whole = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class TopologySpreadConstraint(Model):
    """How evenly pods must lie over the values of a label of nodes.

    max_skew: by how many pods a place may be ahead of the one with the fewest.
    topology_key: the label of nodes whose equal values are one place.
    when_unsatisfiable: DoNotSchedule keeps the pod waiting, ScheduleAnyway prefers emptier places.
    label_selector: which pods of its namespace are counted; without it none.
    min_domains: with fewer places than this the fewest counts as 0; only with DoNotSchedule.
    node_affinity_policy: Honor (and unset) counts only nodes that the pod's nodeSelector and node
        affinity take, Ignore all.
    node_taints_policy: Honor counts only nodes whose taints the pod bears, Ignore (and unset) all.
    match_label_keys: labels whose value must be the pod's own, where it has them.
    """

    max_skew: Whole
    topology_key: str = shown("")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    min_domains: Whole | None = None
    node_affinity_policy: Policy | None = None
    node_taints_policy: Policy | None = None
    match_label_keys: Annotated[tuple[str, ...], msgspec.Meta(max_length=TERM_MAX)] = ()


class PodSchedulingGate(Model):
    """A reason not to place a pod yet; its author takes it away.

    name: which reason.
    """

    name: str
