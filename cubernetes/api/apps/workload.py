"""What kinds that keep pods of a template have in common: their rules and columns."""

from collections.abc import Iterator
from typing import Any

from cubernetes.api.core.pod import PodTemplate, template_problems
from cubernetes.api.core.podspec.spec import defaulted_spec
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, replaced
from cubernetes.api.selectors import LabelSelector, selector_text


def _containers_of(one: Any, _: object) -> str:
    return ",".join(container.name for container in one.spec.template.spec.containers)


def _images_of(one: Any, _: object) -> str:
    return ",".join(container.image for container in one.spec.template.spec.containers)


# What `-o wide` adds.
WIDE_COLUMNS = (
    Column("Containers", _containers_of, wide=True),
    Column("Images", _images_of, wide=True),
    Column("Selector", lambda one, _: selector_text(one.spec.selector.match_labels), wide=True),
)


def defaulted_template(template: PodTemplate) -> PodTemplate:
    return replaced(template, spec=defaulted_spec(template.spec))


def workload_problems(selector: LabelSelector, template: PodTemplate) -> Iterator[Problem]:
    """Yield what is wrong with a selector and the template of the pods that it chooses."""
    yield from selector.problems("spec.selector")
    yield from kept_template_problems(template)
    if selector.is_empty:
        yield Problem("spec.selector", "must not be empty", "FieldValueRequired")
    elif not selector.selector.matches(template.metadata.labels):
        where = "spec.template.metadata.labels"
        yield Problem(where, "`selector` does not match template `labels`")


def kept_template_problems(template: PodTemplate) -> Iterator[Problem]:
    """Yield what is wrong with the template of pods that are replaced when they end."""
    yield from template_problems(template, "spec.template")
    if template.spec.restart_policy != "Always":
        where = "spec.template.spec.restartPolicy"
        yield Problem(where, "must be 'Always'", "FieldValueNotSupported")
    if template.spec.active_deadline_seconds is not None:
        where = "spec.template.spec.activeDeadlineSeconds"
        yield Problem(where, "is not supported: a pod that ends is replaced", "FieldValueForbidden")
    if template.spec.node_name:
        where = "spec.template.spec.nodeName"
        yield Problem(where, "must be empty: the scheduler decides", "FieldValueForbidden")
