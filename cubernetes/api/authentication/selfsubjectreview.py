"""SelfSubjectReview: who a client is before the API server. It is answered and not kept."""

import msgspec

from cubernetes.api.authentication.tokenreview import UserInfo
from cubernetes.api.meta import Column, Model, Object, shown
from cubernetes.api.resource import Resource


class SelfSubjectReviewStatus(Model):
    """The answer.

    user_info: the client that asks.
    """

    user_info: UserInfo = msgspec.field(default_factory=UserInfo)


class SelfSubjectReview(Object):
    """Asks who the client that asks is: `kubectl auth whoami`."""

    resource = Resource(
        "authentication.k8s.io",
        "v1",
        "SelfSubjectReview",
        "selfsubjectreviews",
        (),
        False,
        verbs=("create",),
    )
    columns = (Column("Name", lambda one, _: one.metadata.name),)

    api_version: str = shown("authentication.k8s.io/v1")
    kind: str = shown("SelfSubjectReview")
    status: SelfSubjectReviewStatus = msgspec.field(default_factory=SelfSubjectReviewStatus)
