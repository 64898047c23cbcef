"""SubjectAccessReview and its like: who may do what. They are answered and not kept."""

from collections.abc import Mapping

import msgspec

from cubernetes.api.meta import Column, Model, Object, shown
from cubernetes.api.rbac.rules import PolicyRule
from cubernetes.api.resource import Resource

GROUP = "authorization.k8s.io"
VERBS = ("create",)
NAME = (Column("Name", lambda one, _: one.metadata.name),)


class ResourceAttributes(Model):
    """Something that may be done to objects; `*` is everything.

    namespace: in which namespace; empty is all of them, or none.
    verb: what is done.
    group: the group of the resource.
    version: its version; nothing depends on it.
    resource: the resource, in the plural.
    subresource: the part of it.
    name: of which object; empty is all.
    """

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(Model):
    """Something that may be done to a path that is no object's.

    path: the path.
    verb: what is done.
    """

    path: str = ""
    verb: str = ""


class SelfSubjectAccessReviewSpec(Model):
    """What is asked; one of the two.

    resource_attributes: about objects.
    non_resource_attributes: about a path.
    """

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class SubjectAccessReviewSpec(SelfSubjectAccessReviewSpec):
    """What is asked, and of whom.

    user: the client's name.
    groups: the groups that it is in.
    extra: Kept for clients: no decision depends on it.
    uid: Kept for clients: no decision depends on it.
    """

    user: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    uid: str = ""


class SubjectAccessReviewStatus(Model):
    """The answer.

    allowed: whether it may be done.
    denied: whether something forbids it; nothing here does.
    reason: why.
    evaluation_error: what could not be found out.
    """

    allowed: bool = shown(False)
    denied: bool = False
    reason: str = ""
    evaluation_error: str = ""


class SubjectAccessReview(Object):
    """Asks whether a client may do something. It is answered and not kept."""

    resource = Resource(
        GROUP, "v1", "SubjectAccessReview", "subjectaccessreviews", (), False, verbs=VERBS
    )
    columns = NAME

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("SubjectAccessReview")
    spec: SubjectAccessReviewSpec
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class LocalSubjectAccessReview(Object):
    """Asks whether a client may do something in the namespace of the path."""

    resource = Resource(
        GROUP, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=VERBS
    )
    columns = NAME

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("LocalSubjectAccessReview")
    spec: SubjectAccessReviewSpec
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class SelfSubjectAccessReview(Object):
    """Asks whether the client that asks may do something: `kubectl auth can-i`."""

    resource = Resource(
        GROUP, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", (), False, verbs=VERBS
    )
    columns = NAME

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("SelfSubjectAccessReview")
    spec: SelfSubjectAccessReviewSpec
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class SelfSubjectRulesReviewSpec(Model):
    """What is asked.

    namespace: in which namespace.
    """

    namespace: str = ""


class SubjectRulesReviewStatus(Model):
    """The answer.

    resource_rules: what the client may do to objects.
    non_resource_rules: to which paths it may do what.
    incomplete: whether there may be more: of the programs of the cluster there is.
    evaluation_error: what could not be found out.
    """

    resource_rules: tuple[PolicyRule, ...] = shown(())
    non_resource_rules: tuple[PolicyRule, ...] = shown(())
    incomplete: bool = shown(False)
    evaluation_error: str = ""


class SelfSubjectRulesReview(Object):
    """Asks what the client that asks may do in a namespace: `kubectl auth can-i --list`."""

    resource = Resource(
        GROUP, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", (), False, verbs=VERBS
    )
    columns = NAME

    api_version: str = shown(f"{GROUP}/v1")
    kind: str = shown("SelfSubjectRulesReview")
    spec: SelfSubjectRulesReviewSpec
    status: SubjectRulesReviewStatus = msgspec.field(default_factory=SubjectRulesReviewStatus)
