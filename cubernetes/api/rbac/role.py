"""Role: what may be done to objects of its namespace."""

from collections.abc import Iterator

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Object, age_of, shown
from cubernetes.api.rbac.rules import GROUP, Rules, rule_problems
from cubernetes.api.resource import Resource


class Role(Object):
    """What may be done to objects of its namespace.

    rules: what it allows: each by itself.
    """

    resource = Resource(GROUP, "v1", "Role", "roles")
    name_rule = names.ROLES
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Age", age_of),
    )

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("Role")
    rules: Rules = shown(())

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from rule_problems(self.rules, is_namespaced=True)
