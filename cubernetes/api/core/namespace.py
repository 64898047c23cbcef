"""Namespace: a room of names. Deleting it deletes what is in it."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, age_of, shown
from cubernetes.api.resource import VERBS, Resource


class NamespaceSpec(Model):
    """What keeps a namespace from being gone.

    finalizers: what must be done before; `kubernetes` stays until the namespace is empty.
    """

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Model):
    """Whether a namespace is in use.

    phase: Terminating from the moment its deletion is asked for; nothing new may be made in it.
    conditions: what is left in a namespace that takes long to go, and which finalizers keep that.
    """

    phase: Literal["Active", "Terminating"] = shown("Active")
    conditions: tuple[Condition, ...] = ()


class Namespace(Object):
    resource = Resource(
        "",
        "v1",
        "Namespace",
        "namespaces",
        ("ns",),
        namespaced=False,
        subresources=("status", "finalize"),
        # As in Kubernetes: one request shall not empty a cluster.
        verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Status", lambda one, _: one.status.phase),
        Column("Age", age_of),
    )

    api_version: str = shown("v1")
    kind: str = shown("Namespace")
    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)

    def problems(self) -> Iterator[Problem]:
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
