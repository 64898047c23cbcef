"""ClusterRoles that gather the rules of others have them written down."""

from controllers.access.roles import EVERY_ROLE, GatheredRoles
from cubernetes.api.meta import ObjectMeta, Ref, replaced
from cubernetes.api.rbac.clusterrole import AggregationRule, ClusterRole
from cubernetes.api.rbac.rules import RULE_COUNT_MAX, PolicyRule
from cubernetes.api.selectors import LabelSelector
from tests.carry import World


def rule(resource: str) -> PolicyRule:
    return PolicyRule(verbs=("get",), api_groups=("",), resources=(resource,))


def a_role(name: str, *resources: str, **labels: str) -> ClusterRole:
    rules = tuple(rule(one) for one in resources)
    return ClusterRole(metadata=ObjectMeta(name=name, labels=labels), rules=rules)


def gathering(name: str, *of: str, by_hand: tuple[str, ...] = (), **labels: str) -> ClusterRole:
    selectors = tuple(LabelSelector(match_labels={"to": one}) for one in of)
    rule = AggregationRule(cluster_role_selectors=selectors)
    return replaced(a_role(name, *by_hand, **labels), aggregation_rule=rule)


def settled(*roles: ClusterRole) -> World:
    world = World(roles)
    world.settle(GatheredRoles(), 10)
    return world


def resources(world: World, name: str) -> list[str]:
    role = world.get(ClusterRole, name)
    assert role is not None
    return [one.resources[0] for one in role.rules]


def test_rules_of_all_that_are_labelled_are_united_once_each_in_the_order_of_names() -> None:
    world = settled(
        gathering("view", "view", "more"),
        a_role("b", "pods", "nodes", to="view"),
        a_role("a", "services", "pods", to="more"),
        a_role("c", "secrets", to="edit"),
    )
    assert resources(world, "view") == ["services", "pods", "nodes"]
    assert resources(world, "c") == ["secrets"]


def test_what_was_written_by_hand_or_is_of_a_label_that_is_gone_goes() -> None:
    part = a_role("a", "pods", to="view")
    world = settled(gathering("view", "view", by_hand=("secrets",)), part)
    assert resources(world, "view") == ["pods"]

    world.put(a_role("a", "pods"))
    world.settle(GatheredRoles(), 10)
    assert resources(world, "view") == []


def test_a_role_gathers_of_one_that_gathers_and_nothing_is_written_twice() -> None:
    world = settled(
        gathering("edit", "edit"), gathering("view", "view", to="edit"), a_role("a", to="view"),
        a_role("b", "pods", to="view"), gathering("self", "self", to="self"),
    )  # fmt: skip
    assert (resources(world, "view"), resources(world, "edit")) == (["pods"], ["pods"])
    before = world.writes
    assert world.plan(GatheredRoles(), EVERY_ROLE) == []
    assert world.writes == before


def test_roles_that_gather_each_other_settle_and_lose_what_is_gone() -> None:
    world = settled(
        gathering("b", "all", "a", to="b"), gathering("a", "b", to="a"),
        a_role("one", "pods", to="all"), a_role("two", "nodes", to="b"),
        a_role("gone", "secrets", to="all"),
    )  # fmt: skip
    assert resources(world, "a") == resources(world, "b") == ["secrets", "pods", "nodes"]
    assert world.plan(GatheredRoles(), EVERY_ROLE) == []

    world.remove(Ref("ClusterRole", "", "gone"))
    world.settle(GatheredRoles(), 10)
    assert resources(world, "a") == resources(world, "b") == ["pods", "nodes"]
    assert world.plan(GatheredRoles(), EVERY_ROLE) == []


def test_no_more_rules_are_written_than_a_role_may_have() -> None:
    many = [f"r{number}" for number in range(RULE_COUNT_MAX)]
    world = settled(gathering("v", "v"), a_role("a", *many, to="v"), a_role("b", "pods", to="v"))
    assert resources(world, "v") == many
