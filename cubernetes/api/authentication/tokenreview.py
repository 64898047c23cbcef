"""TokenReview: whose a bearer token is. It is answered and not kept."""

from collections.abc import Mapping

import msgspec

from cubernetes.api.meta import Column, Model, Object, shown
from cubernetes.api.resource import Resource


class UserInfo(Model):
    """A client of the API server.

    username: its name.
    uid: which incarnation of that name; empty where nothing is known.
    groups: the groups that it is in.
    extra: more that is known of it: of a token of a pod, the pod.
    """

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class TokenReviewSpec(Model):
    """What is asked.

    token: the token.
    audiences: whom it must be for; it is enough to be for one. Left out, the API server.
    """

    token: str = ""
    audiences: tuple[str, ...] = ()


class TokenReviewStatus(Model):
    """The answer.

    authenticated: whether the token is good.
    user: whose it is.
    audiences: those of the question that it is for.
    error: why it is not good.
    """

    authenticated: bool = False
    user: UserInfo = msgspec.field(default_factory=UserInfo)
    audiences: tuple[str, ...] = ()
    error: str = ""


class TokenReview(Object):
    """Asks whose a bearer token is. It is answered and not kept."""

    resource = Resource(
        "authentication.k8s.io", "v1", "TokenReview", "tokenreviews", (), False, verbs=("create",)
    )
    columns = (Column("Name", lambda one, _: one.metadata.name),)

    api_version: str = shown("authentication.k8s.io/v1")
    kind: str = shown("TokenReview")
    spec: TokenReviewSpec = msgspec.field(default_factory=TokenReviewSpec)
    status: TokenReviewStatus = msgspec.field(default_factory=TokenReviewStatus)
