"""ClusterRole: what may be done to objects of every namespace, and of none."""

from collections.abc import Iterable, Iterator

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Model, Object, age_of, shown
from cubernetes.api.rbac.rules import GROUP, Rules, rule_problems
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import LabelSelector


class AggregationRule(Model):
    """Whose rules a role has, and no others: of all ClusterRoles that one of the selectors chooses.

    cluster_role_selectors: the selectors.
    """

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Object):
    """What may be done to objects of every namespace, and of none.

    rules: what it allows: each by itself. With an aggregationRule they are written by a controller.
    aggregation_rule: whose rules it has.
    """

    resource = Resource(GROUP, "v1", "ClusterRole", "clusterroles", (), False)
    name_rule = names.ROLES
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Age", age_of),
    )

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("ClusterRole")
    rules: Rules = shown(())
    aggregation_rule: AggregationRule | None = None

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from rule_problems(self.rules, is_namespaced=False)
        if self.aggregation_rule is not None:
            for index, one in enumerate(self.aggregation_rule.cluster_role_selectors):
                yield from one.problems(f"aggregationRule.clusterRoleSelectors[{index}]")

    def has_rules_of(self, other: "ClusterRole") -> bool:
        """Whether its aggregation chooses another role."""
        if self.aggregation_rule is None or other.metadata.name == self.metadata.name:
            return False
        labels, chosen = other.metadata.labels, self.aggregation_rule.cluster_role_selectors
        return any(one.selector.matches(labels) for one in chosen)


def sources_of(role: ClusterRole, every: Iterable[ClusterRole]) -> list[ClusterRole]:
    """Return the roles whose rules a role has, by name: itself, or those that it gathers.

    One that it gathers and that gathers itself stands for those that that one gathers: rules that
    are written into such a role are copies, and may be late. Each is asked once, so that roles that
    gather each other have an end.
    """
    every = list(every)
    sources: list[ClusterRole] = []
    waiting, seen = [role], {role.metadata.name}
    while waiting:
        one = waiting.pop()
        if one.aggregation_rule is None:
            sources.append(one)
            continue
        chosen = [each for each in every if one.has_rules_of(each)]
        waiting += [each for each in chosen if each.metadata.name not in seen]
        seen |= {each.metadata.name for each in chosen}
    return sorted(sources, key=lambda source: source.metadata.name)
