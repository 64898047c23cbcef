"""The rules of ClusterRoles that gather them: those of all that are labelled for it, written down.

What they allow the API server asks of the labels themselves; this is what people read, as in
Kubernetes. What somebody wrote there by hand is written over.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.api.rbac.clusterrole import ClusterRole, sources_of
from cubernetes.api.rbac.rules import RULE_COUNT_MAX, PolicyRule
from cubernetes.reconcile.plan import Action, Update, View

EVERY_ROLE = Ref("GatheredRoles", "", "")


class GatheredRoles:
    """Plans for all of them at once: of a role that has changed, any may have or have had rules."""

    name = "clusterrole-aggregation"
    kinds: tuple[type[Object], ...] = (ClusterRole,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        return (EVERY_ROLE,)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        every = view.list(ClusterRole)
        for role in every:
            if role.aggregation_rule is None or role.metadata.is_deleted:
                continue
            rules = gathered(role, every)
            if rules != role.rules:
                yield Update(replaced(role, rules=rules))


def gathered(role: ClusterRole, every: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """Return the rules of all roles that one gathers, each once, as many as a role has at most."""
    rules = dict.fromkeys(rule for one in sources_of(role, every) for rule in one.rules)
    return tuple(rules)[:RULE_COUNT_MAX]
