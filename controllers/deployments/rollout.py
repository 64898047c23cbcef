"""A Deployment and its ReplicaSets: which one has the present template, and which are revisions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controllers.naming import NAME_MAX, suffix_of
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetSpec
from cubernetes.api.apps.revisions import DESIRED, HASH_LABEL, HISTORY, KEPT_APART, MAX, REVISION
from cubernetes.api.apps.shares import share_of
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.selectors import LabelSelector
from cubernetes.reconcile.plan import View

HASH_COUNT = 10
AUTO_ROLLBACK = "cubernetes.io/auto-rollback"
NUMBER_MAX = 2**62  # beyond it an annotation is somebody's joke
HISTORY_CHARS_MAX = 2000


class Rollout(NamedTuple):
    """new has the present template, where it exists; old are the others, the oldest first."""

    wanted: Deployment
    new: ReplicaSet | None
    old: Sequence[ReplicaSet]

    @property
    def every(self) -> Sequence[ReplicaSet]:
        return (*self.old, self.new) if self.new is not None else self.old

    @property
    def is_rolling(self) -> bool:
        return self.wanted.spec.strategy.type == "RollingUpdate"

    @property
    def surge(self) -> int:
        """How many pods more than wanted there may be."""
        bounds = self.wanted.spec.strategy.rolling_update
        if not self.is_rolling or bounds is None:
            return 0
        return share_of(bounds.max_surge, self.wanted.spec.replicas, rounded_up=True)

    @property
    def unavailable(self) -> int:
        """How many pods fewer than wanted may be available; never zero together with surge."""
        bounds, replicas = self.wanted.spec.strategy.rolling_update, self.wanted.spec.replicas
        if not self.is_rolling or bounds is None:
            return 0
        share = share_of(bounds.max_unavailable, replicas, rounded_up=False)
        return min(replicas, share if share or self.surge else 1)

    @property
    def revision(self) -> int:
        """The revision of the present template: above every old one, and never lower than it was.

        An old ReplicaSet that somebody deletes takes no number back.
        """
        above = max((revision_of(one) for one in self.old), default=0) + 1
        return max(above, revision_of(self.new)) if self.new is not None else above

    @property
    def is_reused(self) -> bool:
        """Whether the present template was that of an earlier revision, and has just returned."""
        return self.new is not None and 0 < revision_of(self.new) < self.revision

    @property
    def limits(self) -> Mapping[str, str]:
        """The annotations that tell for which size a ReplicaSet was scaled."""
        replicas = self.wanted.spec.replicas
        return {DESIRED: str(replicas), MAX: str(replicas + self.surge)}


def rollout_of(wanted: Deployment, sets: Sequence[ReplicaSet]) -> Rollout:
    """Tell the ReplicaSets of a Deployment apart by their templates; of equal ones the oldest."""
    ordered = sorted(sets, key=age_order)
    template = wanted.spec.template
    new = next((one for one in ordered if bare(one.spec.template) == bare(template)), None)
    return Rollout(wanted, new, [one for one in ordered if one is not new])


def age_order(one: ReplicaSet) -> tuple[float, str]:
    """Return what sorts the oldest first."""
    created = one.metadata.creation_timestamp
    return created.timestamp() if created is not None else float("inf"), one.metadata.name


def bare(template: PodTemplate) -> PodTemplate:
    """Return a template as its Deployment has it: without the label of its hash."""
    labels = template.metadata.labels
    plain = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return replaced(template, metadata=replaced(template.metadata, labels=plain))


def number_in(one: ReplicaSet | Deployment, annotation: str) -> int | None:
    """Return a number that an annotation tells; None where it tells none."""
    text = one.metadata.annotations.get(annotation, "")
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(NUMBER_MAX))
    return int(text) if is_number else None


def revision_of(one: ReplicaSet) -> int:
    return number_in(one, REVISION) or 0


def set_made(rollout: Rollout, replicas: int) -> ReplicaSet:
    """Return the ReplicaSet of the present template; its name follows from the template."""
    wanted = rollout.wanted
    template = wanted.spec.template
    count = wanted.status.collision_count
    ending = suffix_of(codec.encode(template).decode(), count, count=HASH_COUNT)
    name = wanted.metadata.name
    labels = {**template.metadata.labels, HASH_LABEL: ending}
    selector = wanted.spec.selector
    chosen = LabelSelector(
        match_labels={**selector.match_labels, HASH_LABEL: ending},
        match_expressions=selector.match_expressions,
    )
    meta = ObjectMeta(
        name=f"{name[: NAME_MAX - HASH_COUNT - 1].rstrip('-.')}-{ending}",
        namespace=wanted.metadata.namespace,
        labels=labels,
        annotations={
            **inherited(wanted), **rollout.limits, REVISION: str(rollout.revision)
        },
        owner_references=(wanted.owner_reference(),),
    )  # fmt: skip
    spec = ReplicaSetSpec(
        replicas=replicas,
        min_ready_seconds=wanted.spec.min_ready_seconds,
        selector=chosen,
        template=replaced(template, metadata=replaced(template.metadata, labels=labels)),
    )
    return ReplicaSet(metadata=meta, spec=spec)


def inherited(wanted: Deployment) -> dict[str, str]:
    """Return the annotations that a ReplicaSet takes over: the change's cause among them."""
    found = wanted.metadata.annotations.items()
    return {key: value for key, value in found if key not in KEPT_APART}


def noted(rollout: Rollout, new: ReplicaSet) -> dict[str, str]:
    """Return the annotations that the ReplicaSet of the present template should have."""
    notes = inherited(rollout.wanted)
    before = revision_of(new)
    if before < rollout.revision:
        notes[REVISION] = str(rollout.revision)
        if before:
            history = new.metadata.annotations.get(HISTORY, "")
            notes[HISTORY] = _shortened(f"{history},{before}" if history else str(before))
    return notes


def is_name_taken(made: ReplicaSet, view: View) -> bool:
    return view.get(ReplicaSet, made.metadata.name, made.metadata.namespace) is not None


def _shortened(history: str) -> str:
    """Return a history without its oldest entries, where it is longer than it may be."""
    if len(history) <= HISTORY_CHARS_MAX:
        return history
    return history[-HISTORY_CHARS_MAX:].partition(",")[2]
