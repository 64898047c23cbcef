"""Every namespace has the default account and the API server's authority, and has them again."""

from datetime import UTC, datetime

from controllers.access.accounts import Accounts
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import Action, Create, StillView, Update

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Namespace(metadata=ObjectMeta(name="shop"))
KEY = Ref("Namespace", "", "shop")
PLACE = ObjectMeta(name="default", namespace="shop")


def planned(*objects: Object, root_ca: str = "PEM") -> list[Action]:
    return list(Accounts(root_ca).plan(KEY, StillView(objects), NOW))


def made(*objects: Object) -> list[Object]:
    return [one.object for one in planned(*objects) if isinstance(one, Create)]


def test_a_new_namespace_is_given_both_and_then_nothing_more() -> None:
    account, authority = made(SHOP)

    assert (account.ref, authority.ref.name) == (
        Ref("ServiceAccount", "shop", "default"),
        "kube-root-ca.crt",
    )
    assert isinstance(authority, ConfigMap)
    assert authority.data == {"ca.crt": "PEM"}
    assert planned(SHOP, account, authority) == []


def test_a_namespace_that_is_going_is_given_nothing() -> None:
    going = replaced(SHOP, metadata=replaced(SHOP.metadata, deletion_timestamp=NOW))

    assert planned(going) == []
    assert planned() == []


def test_an_authority_that_is_another_is_put_right() -> None:
    account, authority = made(SHOP)
    assert isinstance(authority, ConfigMap)
    other = replaced(authority, data={"ca.crt": "OLD"})

    (update,) = planned(SHOP, account, other)

    assert isinstance(update, Update)
    assert update.object == authority


def test_without_an_authority_there_is_the_account_alone() -> None:
    (create,) = planned(SHOP, root_ca="")

    assert isinstance(create, Create)
    assert isinstance(create.object, ServiceAccount)


def test_a_namespace_is_looked_at_where_what_it_is_given_has_changed() -> None:
    planner, view = Accounts("PEM"), StillView((SHOP,))

    assert list(planner.keys(SHOP, view)) == [KEY]
    assert list(planner.keys(ServiceAccount(metadata=PLACE), view)) == [KEY]
    other = replaced(PLACE, name="till")
    assert list(planner.keys(ServiceAccount(metadata=other), view)) == []
