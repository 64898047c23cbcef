"""Pod: containers that share a network, volumes and a fate."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import is_true
from cubernetes.api.core.columns import podcolumns
from cubernetes.api.core.podspec import rules
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.placement.peerrules import changed_gates_problems
from cubernetes.api.core.podspec.spec import GRACE_DEFAULT_S, PodSpec, defaulted_spec
from cubernetes.api.core.podspec.toleration import changed_problems
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Instant, Labels, Model, Object, immutable, replaced, shown
from cubernetes.api.meta import text_field as text
from cubernetes.api.resource import Resource

FINISHED = ("Succeeded", "Failed")


def is_finished(pod: "Pod") -> bool:
    """Its containers have ended and will not be started again."""
    return pod.status.phase in FINISHED


def is_ready(pod: "Pod") -> bool:
    """It may receive traffic: ready, not finished, and not asked to go."""
    ready = is_true(pod.status.conditions, "Ready")
    return ready and not is_finished(pod) and not pod.metadata.is_deleted


class Pod(Object):
    resource = Resource(
        "", "v1", "Pod", "pods", ("po",),
        subresources=(
            "status", "binding", "ephemeralcontainers", "eviction", "log", "exec", "attach",
            "portforward", "proxy",
        ),
        categories=("all",),
    )  # fmt: skip
    columns = podcolumns.COLUMNS
    selectable = {
        "spec.nodeName": text("spec.node_name"),
        "spec.restartPolicy": text("spec.restart_policy"),
        "spec.schedulerName": text("spec.scheduler_name"),
        "status.phase": text("status.phase"),
        "status.podIP": text("status.pod_ip"),
    }

    api_version: str = shown("v1")
    kind: str = shown("Pod")
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    def defaulted(self) -> "Pod":
        return replaced(self, spec=defaulted_spec(self.spec))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from rules.spec_problems(self.spec, "spec")

    def status_problems(self, old: "Pod") -> Iterator[Problem]:  # noqa: ARG002  there are none
        return iter(())

    def update_problems(self, old: "Pod") -> Iterator[Problem]:
        """Images and the grace may change, tolerations come, gates go; a binding sets nodeName."""
        if old.spec.node_name:
            yield from immutable("spec.nodeName", old.spec.node_name, self.spec.node_name)
        if _fixed_part(old.spec) != _fixed_part(self.spec):
            message = (
                "pod updates may not change fields other than containers[*].image, "
                "initContainers[*].image, activeDeadlineSeconds and tolerations (only additions)"
            )
            yield Problem("spec", message, "FieldValueForbidden")
        yield from _deadline_problems(old.spec, self.spec)
        yield from changed_problems(old.spec.tolerations, self.spec.tolerations, "spec.tolerations")
        gates = old.spec.scheduling_gates, self.spec.scheduling_gates
        yield from changed_gates_problems(*gates, "spec.schedulingGates")


class TemplateMeta(Model):
    """What the pods of a template are told apart and found by.

    name, namespace, creation_timestamp: kept for clients that send it; pods get their own.
    labels: the labels of each pod.
    annotations: the annotations of each pod.
    """

    name: str = ""
    namespace: str = ""
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: Instant | None = None


class PodTemplate(Model):
    """What a controller makes pods of.

    metadata: what each pod carries.
    spec: what each pod is.
    """

    metadata: TemplateMeta = msgspec.field(default_factory=TemplateMeta)
    spec: PodSpec


def _fixed_part(spec: PodSpec) -> PodSpec:
    return replaced(
        spec,
        containers=_without_images(spec.containers),
        init_containers=_without_images(spec.init_containers),
        ephemeral_containers=(),
        node_name="",
        active_deadline_seconds=None,
        termination_grace_period_seconds=GRACE_DEFAULT_S,
        tolerations=(),
        scheduling_gates=(),
    )


def _deadline_problems(old: PodSpec, new: PodSpec) -> Iterator[Problem]:
    before, now = old.active_deadline_seconds, new.active_deadline_seconds
    if before is not None and now is None:
        message = "must not update from a positive integer to nil value"
        yield Problem("spec.activeDeadlineSeconds", message)
    elif before is not None and now is not None and now > before:
        message = "must be less than or equal to previous value"
        yield Problem("spec.activeDeadlineSeconds", message)


def _without_images(containers: Sequence[Container]) -> tuple[Container, ...]:
    return tuple(replaced(one, image="") for one in containers)


def template_problems(template: PodTemplate, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a pod template that stands at field."""
    yield from names.label_problems(template.metadata.labels, f"{field}.metadata.labels")
    yield from names.annotation_problems(
        template.metadata.annotations, f"{field}.metadata.annotations"
    )
    yield from rules.spec_problems(template.spec, f"{field}.spec")
    if template.spec.ephemeral_containers:
        told = "ephemeral containers not allowed in pod template"
        yield Problem(f"{field}.spec.ephemeralContainers", told, "FieldValueForbidden")
