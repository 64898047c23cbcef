"""tokenreviews: whose a bearer token is, for servers that are shown one."""

from collections.abc import Mapping

from apiserver.auth.accounts import Claims, token_in
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.enrolment.accounts import NOT_OURS, claims_of
from apiserver.wire.bodies import object_in, warning_header
from cubernetes.api.authentication.tokenreview import TokenReview, TokenReviewStatus, UserInfo
from cubernetes.api.coding.codec import encode
from cubernetes.api.meta import replaced
from cubernetes.host.web.messages import Response

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"


async def review_token(backend: Backend, call: Call) -> Response:
    """Say whose the token is."""
    reading = object_in(call)
    asked = reading.model
    assert isinstance(asked, TokenReview)  # noqa: S101  the route is of token reviews
    audiences = asked.spec.audiences or (backend.settings.account_issuer,)
    token = token_in(f"Bearer {asked.spec.token}")
    found = await claims_of(backend, token, audiences) if token else NOT_OURS
    status = status_of(found, audiences)
    # The token itself is not repeated.
    spec = replaced(asked.spec, token="")
    answer = encode(replaced(asked, spec=spec, status=status))
    return Response(201, answer, warning_header(reading.warnings))


def status_of(found: Claims | str, audiences: tuple[str, ...]) -> TokenReviewStatus:
    """Return what is told of a token; found is what it says, or why it is good for nothing."""
    if isinstance(found, str):
        return TokenReviewStatus(error=found)
    good_for = tuple(one for one in audiences if one in found.aud)
    return TokenReviewStatus(authenticated=True, user=user_of(found), audiences=good_for)


def user_of(claims: Claims) -> UserInfo:
    """Return whose a good token is, with the pod that it is bound to."""
    identity, bonds = claims.account.identity, claims.bonds
    extra: Mapping[str, tuple[str, ...]] = {}
    if bonds.pod is not None:
        extra = {POD_NAME: (bonds.pod.name,), POD_UID: (bonds.pod.uid,)}
    uid = bonds.serviceaccount.uid
    return UserInfo(username=identity.user, uid=uid, groups=identity.groups, extra=extra)
