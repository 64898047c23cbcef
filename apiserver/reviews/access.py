"""subjectaccessreviews and their like: who may do what, by the rules that requests are held to."""

from typing import cast

from apiserver.auth.authorize import MASTERS, OWN_GROUP, Attempt, acting_node, may
from apiserver.auth.rbac import rules_for
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.enrolment.granted import is_granted_now
from apiserver.wire.bodies import object_in, warning_header
from cubernetes.api.authorization.reviews import (
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from cubernetes.api.coding.codec import Reading, encode
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import BadRequest, Problem
from cubernetes.api.meta import Model, Object, replaced
from cubernetes.host.web.messages import Identity, Response

ALLOWED = "allowed by a role"


async def review_access(backend: Backend, call: Call) -> Response:
    """Say whether a client may do something."""
    reading = object_in(call)
    asked = cast(SubjectAccessReview, reading.model)
    if not asked.spec.user and not asked.spec.groups:
        problem = Problem("spec.user", "at least one of user or group must be specified")
        raise invalid(call.kind.resource.kind, "", [problem])
    own = asked.spec.resource_attributes
    if call.namespace and (own is None or own.namespace != call.namespace):
        raise BadRequest("spec.resourceAttributes.namespace: must be the namespace of the path")
    identity = Identity(asked.spec.user, asked.spec.groups)
    return await _answered(backend, reading, asked.spec, identity)


async def review_own_access(backend: Backend, call: Call) -> Response:
    """Say whether the client that asks may do something."""
    reading = object_in(call)
    spec = cast(SelfSubjectAccessReview, reading.model).spec
    return await _answered(backend, reading, spec, call.identity)


async def review_own_rules(backend: Backend, call: Call) -> Response:
    """Say what the client that asks may do in a namespace."""
    reading = object_in(call)
    asked = cast(SelfSubjectRulesReview, reading.model)
    if not asked.spec.namespace:
        raise BadRequest("spec.namespace: is required")
    await backend.caught_up()
    rules = list(rules_for(backend, call.identity, asked.spec.namespace))
    paths = tuple(one for one in rules if one.non_resource_urls)
    status = SubjectRulesReviewStatus(
        resource_rules=tuple(one for one in rules if not one.non_resource_urls),
        non_resource_rules=paths,
    )
    return _response(reading, status)


async def _answered(
    backend: Backend,
    reading: Reading[Object],
    spec: SelfSubjectAccessReviewSpec,
    identity: Identity,
) -> Response:
    await backend.caught_up()
    return _response(reading, status_for(backend, spec, identity))


def status_for(
    backend: Backend, spec: SelfSubjectAccessReviewSpec, identity: Identity
) -> SubjectAccessReviewStatus:
    """Return whether a client may do what a review asks about.

    Raises: BadRequest: it asks about nothing, or about two things.
    """
    wanted, path = spec.resource_attributes, spec.non_resource_attributes
    if (wanted is None) == (path is None):
        raise BadRequest(
            "spec: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    if wanted is not None:
        part, group = wanted.subresource, wanted.group
        attempt = Attempt(wanted.verb, group, wanted.resource, part, wanted.namespace, wanted.name)
        refusal, where = may(identity, attempt), ""
    else:
        verb, where = (path.verb, path.path) if path is not None else ("", "")
        attempt = Attempt(verb, OWN_GROUP, "metrics")
        is_known = where.startswith("/metrics") or MASTERS in identity.groups
        refusal = may(identity, attempt) if is_known else "no role allows"
    if not refusal or is_granted_now(backend, identity, attempt, where):
        return SubjectAccessReviewStatus(allowed=True, reason=ALLOWED)
    if acting_node(identity):
        told = "what a node may do depends on the object, and is decided when it asks"
        return SubjectAccessReviewStatus(evaluation_error=told)
    return SubjectAccessReviewStatus(reason="no role allows it")


def _response(reading: Reading[Object], status: Model) -> Response:
    answer = replaced(reading.model, status=status)
    return Response(201, encode(answer), warning_header(reading.warnings))
