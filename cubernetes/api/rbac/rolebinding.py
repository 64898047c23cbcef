"""RoleBinding: who is given a role in its namespace."""

from collections.abc import Iterator

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Object, age_of, replaced, shown
from cubernetes.api.rbac.rules import (
    GROUP,
    ROLE_KINDS,
    RoleRef,
    Subjects,
    binding_problems,
    defaulted_ref,
    defaulted_subject,
    ref_problems,
)
from cubernetes.api.resource import Resource


class RoleBinding(Object):
    """Who is given a role in its namespace.

    subjects: who is given it.
    role_ref: the role; it never changes.
    """

    resource = Resource(GROUP, "v1", "RoleBinding", "rolebindings")
    name_rule = names.ROLES
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Role", lambda one, _: f"{one.role_ref.kind}/{one.role_ref.name}"),
        Column("Age", age_of),
    )

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("RoleBinding")
    subjects: Subjects = ()
    role_ref: RoleRef

    def defaulted(self) -> "RoleBinding":
        subjects = tuple(defaulted_subject(one) for one in self.subjects)
        return replaced(self, subjects=subjects, role_ref=defaulted_ref(self.role_ref))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from binding_problems(self.role_ref, self.subjects, ROLE_KINDS)

    def update_problems(self, old: "RoleBinding") -> Iterator[Problem]:
        yield from ref_problems(old.role_ref, self.role_ref)
