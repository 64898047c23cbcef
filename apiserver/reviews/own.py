"""selfsubjectreviews: who the client that asks is, by its certificate or its token."""

from apiserver.auth.accounts import token_in
from apiserver.auth.rbac import groups_of
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.enrolment.accounts import claims_of
from apiserver.reviews.tokens import user_of
from apiserver.wire.bodies import object_in, warning_header
from cubernetes.api.authentication.selfsubjectreview import (
    SelfSubjectReview,
    SelfSubjectReviewStatus,
)
from cubernetes.api.authentication.tokenreview import UserInfo
from cubernetes.api.coding.codec import encode
from cubernetes.api.meta import replaced
from cubernetes.host.web.messages import Response


async def review_self(backend: Backend, call: Call) -> Response:
    """Say who asks."""
    reading = object_in(call)
    asked = reading.model
    assert isinstance(asked, SelfSubjectReview)  # noqa: S101  the route is of these reviews
    status = SelfSubjectReviewStatus(user_info=await _user(backend, call))
    answer = encode(replaced(asked, status=status))
    return Response(201, answer, warning_header(reading.warnings))


async def _user(backend: Backend, call: Call) -> UserInfo:
    """Return the client; where a token made it known, with what the token tells beside."""
    groups = tuple(dict.fromkeys(groups_of(call.identity)))
    known = UserInfo(username=call.identity.user, groups=groups)
    token = token_in(call.request.headers.get("authorization", ""))
    if not token:
        return known
    found = await claims_of(backend, token, (backend.settings.account_issuer,))
    if isinstance(found, str) or found.account.identity.user != known.username:
        # A certificate made the client known, and the token was not looked at.
        return known
    return user_of(found)
