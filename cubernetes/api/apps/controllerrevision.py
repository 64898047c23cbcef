"""ControllerRevision: a template that a StatefulSet or a DaemonSet has, or once had."""

from collections.abc import Iterator
from typing import Literal

from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, age_of, immutable, shown
from cubernetes.api.resource import Resource

# On a pod: the name of the ControllerRevision that it was made from.
REVISION_LABEL = "controller-revision-hash"


class RevisedTemplate(PodTemplate):
    """A template, as a change that puts it in the place of another.

    patch: replace; what `kubectl rollout undo` sends.
    """

    patch: Literal["replace"] = shown("replace", "$patch")


class RevisedSpec(Model):
    """What of a set's spec is recorded.

    template: the template of its pods.
    """

    template: RevisedTemplate


class RevisionData(Model):
    """The recorded state, as a change of the set.

    spec: what of the spec is recorded.
    """

    spec: RevisedSpec


def _controller(one: Object, _: object) -> str:
    owner = one.metadata.controller
    if owner is None:
        return "<none>"
    return f"{owner.kind.lower()}.{owner.api_version.partition('/')[0]}/{owner.name}"


class ControllerRevision(Object):
    """A template under a number; it is recorded, and never changes.

    data: the recorded state.
    revision: which writing of the template it is, the newest is the greatest.
    """

    resource = Resource("apps", "v1", "ControllerRevision", "controllerrevisions")
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Controller", _controller),
        Column("Revision", lambda one, _: one.revision),
        Column("Age", age_of),
    )

    api_version: str = shown("apps/v1")
    kind: str = shown("ControllerRevision")
    data: RevisionData | None = None
    revision: int = shown(0)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if self.revision < 0:
            yield Problem("revision", "must be greater than or equal to 0")

    def update_problems(self, old: "ControllerRevision") -> Iterator[Problem]:
        yield from immutable("data", old.data, self.data)
