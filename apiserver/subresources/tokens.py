"""`serviceaccounts/token`: a token of an account, bound to an object where that is asked for."""

from datetime import UTC, datetime
from typing import cast

import msgspec

from apiserver.auth.accounts import Bonds, Incarnation, claims_for
from apiserver.auth.authorize import acting_node
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.statuses import absent, conflict
from apiserver.subresources.subresource import Method, Subresource
from apiserver.wire.bodies import model_in
from apiserver.wire.parameters import STRICT_WRITE
from cubernetes.api.bodies.accounts import (
    BoundObjectReference,
    TokenRequest,
    TokenRequestSpec,
    TokenRequestStatus,
)
from cubernetes.api.coding.codec import encode
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import LIFE_S_MAX, LIFE_S_MIN
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.serviceaccount import DEFAULT, ServiceAccount
from cubernetes.api.errors import Forbidden, Problem, ServiceUnavailable
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Response

BOUND_KINDS: dict[tuple[str, str], type[Object]] = {("v1", "Pod"): Pod, ("v1", "Secret"): Secret}
AUDIENCES_MAX, AUDIENCE_CHARS_MAX = 32, 1024
NOT_ITS_PODS = "a node may ask for tokens that are bound to pods of its own, of their accounts"


async def request_token(backend: Backend, call: Call) -> Response:
    """Sign a token of the account that the path names."""
    asked = model_in(call, TokenRequest)
    if problems := problems_of(asked.spec):
        raise invalid("TokenRequest", call.name, problems)
    if backend.accounts is None:
        raise ServiceUnavailable("this server signs no tokens of service accounts")
    await backend.caught_up()
    account = backend.find(ServiceAccount, call.name, call.namespace)
    if account is None:
        raise absent(ServiceAccount.resource, call.name)
    bonds = _bonds(backend, call, account, asked.spec.bound_object_ref)
    now = backend.env.clock.now()
    claims = claims_for(
        asked.spec,
        bonds,
        issuer=backend.settings.account_issuer,
        most_s=backend.settings.account_token_s_max,
        now=now,
        uid=backend.env.rng.uuid(),
    )
    token = backend.accounts.sign(msgspec.json.encode(claims))
    status = TokenRequestStatus(
        token=token, expiration_timestamp=datetime.fromtimestamp(claims.exp, UTC)
    )
    told = replaced(asked.spec, audiences=claims.aud, expiration_seconds=claims.exp - claims.iat)
    metadata = replaced(asked.metadata, name=call.name, namespace=call.namespace)
    answer = replaced(asked, metadata=metadata, spec=told, status=status)
    return Response(201, encode(answer), {"Cache-Control": "no-store"})


def problems_of(spec: TokenRequestSpec) -> list[Problem]:
    """Return what is wrong with what is asked for."""
    problems = []
    life_s = spec.expiration_seconds
    if life_s is not None and not LIFE_S_MIN <= life_s <= LIFE_S_MAX:
        bounds = f"must be from {LIFE_S_MIN} (10 minutes) to {LIFE_S_MAX} seconds"
        problems.append(Problem("spec.expirationSeconds", bounds))
    if len(spec.audiences) > AUDIENCES_MAX:
        problems.append(Problem("spec.audiences", f"at most {AUDIENCES_MAX}"))
    if any(not 0 < len(one) <= AUDIENCE_CHARS_MAX for one in spec.audiences):
        bounds = f"each must have 1 to {AUDIENCE_CHARS_MAX} characters"
        problems.append(Problem("spec.audiences", bounds))
    bound = spec.bound_object_ref
    if bound is not None and (bound.api_version, bound.kind) not in BOUND_KINDS:
        known = "must be a Pod or a Secret of v1"
        problems.append(Problem("spec.boundObjectRef.kind", known, "FieldValueNotSupported"))
    if bound is not None and not bound.name:
        problems.append(Problem("spec.boundObjectRef.name", "is required", "FieldValueRequired"))
    return problems


def _bonds(
    backend: Backend, call: Call, account: ServiceAccount, bound: BoundObjectReference | None
) -> Bonds:
    """Return what the token depends on. Raises: NotFound, Conflict, Forbidden."""
    own = Incarnation(account.metadata.name, account.metadata.uid)
    one: Object | None = None
    if bound is not None:
        kind = BOUND_KINDS[bound.api_version, bound.kind]
        one = backend.find(kind, bound.name, call.namespace)
        if one is None:
            raise absent(kind.resource, bound.name)
        if bound.uid not in ("", one.metadata.uid):
            told = "the UID in the bound object reference is not that of the object"
            raise conflict(kind.resource, bound.name, told)
    if node := acting_node(call.identity):
        _check_of_node(node, account, one)
    if one is None:
        return Bonds(call.namespace, own)
    bond = Incarnation(one.metadata.name, one.metadata.uid)
    is_pod = isinstance(one, Pod)
    return Bonds(call.namespace, own, *((bond, None) if is_pod else (None, bond)))


def _check_of_node(node: str, account: ServiceAccount, one: Object | None) -> None:
    is_its = isinstance(one, Pod) and one.spec.node_name == node
    if not is_its or account_of(cast(Pod, one)) != account.metadata.name:
        raise Forbidden(NOT_ITS_PODS, kind="serviceaccounts", name=account.metadata.name)


def account_of(pod: Pod) -> str:
    """Return the account that a pod runs as."""
    return pod.spec.service_account_name or DEFAULT


TOKEN = Subresource(
    "token",
    (
        Method(
            "POST",
            "create",
            request_token,
            STRICT_WRITE,
            # It is read strictly always: nothing less can be asked for.
            refused={"fieldValidation": "Strict"},
        ),
    ),
    model=TokenRequest,
)
