"""The ControllerRevisions of a set: the templates that it has and once had.

**Names.** A revision is named by the hash of its template and of `status.collisionCount`, so that
planning again asks for the same one. Which revision is of the present template is told by
comparing templates, never by the name: an earlier one is used again, under the next number, when
its template returns.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from controllers.naming import suffix_of
from controllers.owners import adopted_by, is_managed_by
from cubernetes.api.apps.controllerrevision import (
    ControllerRevision,
    RevisedSpec,
    RevisedTemplate,
    RevisionData,
)
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.reconcile.plan import Action, Create, Delete, Patch, Update, UpdateStatus, View

HASH_COUNT = 10
# A revision's name is the value of a label of pods.
NAME_MAX = 63

type Revised = StatefulSet | DaemonSet


class History[K: StatefulSet | DaemonSet](NamedTuple):
    """The revisions of a set, the oldest first; new is that of the present template."""

    owner: K
    every: Sequence[ControllerRevision]
    new: ControllerRevision | None

    @property
    def last(self) -> int:
        """The greatest number of a revision; 0 where there is none."""
        return max((one.revision for one in self.every), default=0)

    def named(self, name: str) -> ControllerRevision | None:
        return next((one for one in self.every if one.metadata.name == name), None)


def history_of[K: StatefulSet | DaemonSet](owner: K, view: View) -> History[K]:
    uid = owner.metadata.uid
    mine = [
        one
        for one in view.owned(ControllerRevision, uid)
        if is_managed_by(one, uid) and not one.metadata.is_deleted
    ]
    every = sorted(mine, key=lambda one: (one.revision, one.metadata.name))
    same = [one for one in every if is_of(one, owner.spec.template)]
    return History(owner, every, same[-1] if same else None)


def is_of(one: ControllerRevision, template: PodTemplate) -> bool:
    found = template_of(one)
    return found is not None and (found.metadata, found.spec) == (template.metadata, template.spec)


def template_of(one: ControllerRevision) -> PodTemplate | None:
    """Return the template that was recorded; None where nothing was."""
    return one.data.spec.template if one.data is not None else None


def adopted(owner: Revised, view: View) -> Iterator[Patch]:
    """Yield the claim on revisions that match and are nobody's: their set was orphaned."""
    selector = owner.spec.selector.selector
    for one in view.list(ControllerRevision, owner.metadata.namespace, selector):
        if one.metadata.controller is None and not one.metadata.is_deleted:
            yield adopted_by(one, owner)


def recorded(history: History[Any], view: View) -> Iterator[Action]:
    """Yield what records the present template as the newest; nothing where it is."""
    owner, new = history.owner, history.new
    if new is not None:
        if new.revision < history.last:
            yield Update(replaced(new, revision=history.last + 1))
        return
    made = revision_made(history)
    if view.get(ControllerRevision, made.metadata.name, made.metadata.namespace) is None:
        yield Create(made)
        return
    # Another object holds the name.
    count = owner.status.collision_count + 1
    yield UpdateStatus(replaced(owner, status=replaced(owner.status, collision_count=count)))


def revision_made(history: History[Any]) -> ControllerRevision:
    owner = history.owner
    template, count = owner.spec.template, owner.status.collision_count
    ending = suffix_of(codec.encode(template).decode(), count, count=HASH_COUNT)
    head = owner.metadata.name[: NAME_MAX - HASH_COUNT - 1].rstrip("-.")
    meta = ObjectMeta(
        name=f"{head}-{ending}",
        namespace=owner.metadata.namespace,
        labels=template.metadata.labels,
        annotations=owner.metadata.annotations,
        owner_references=(owner.owner_reference(),),
    )
    revised = RevisedTemplate(metadata=template.metadata, spec=template.spec)
    data = RevisionData(spec=RevisedSpec(template=revised))
    return ControllerRevision(metadata=meta, data=data, revision=history.last + 1)


def cleaned(history: History[Any], live: Collection[str]) -> Iterator[Action]:
    """Yield the deletion of old revisions beyond the limit; live are those that are in use."""
    idle = [one for one in history.every if one.metadata.name not in live]
    surplus_count = max(0, len(idle) - history.owner.spec.revision_history_limit)
    for one in idle[:surplus_count]:
        meta = one.metadata
        yield Delete(ControllerRevision, one.ref, meta.uid, resource_version=meta.resource_version)
