"""TokenRequest: asks for a token of a service account, and is answered with it."""

import msgspec

from cubernetes.api.meta import Instant, Model, ObjectMeta, shown


class BoundObjectReference(Model):
    """The object with which a token ends.

    kind: Pod or Secret.
    api_version: `v1`.
    name: which, in the namespace of the account.
    uid: which incarnation of the name; left out, the one that is there now.
    """

    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(Model):
    """What the token is to be good for.

    audiences: whom it is for; left out, the API server.
    expiration_seconds: how long, from 600 s on; the server may give less.
    bound_object_ref: the object with which it ends, before its time.
    """

    audiences: tuple[str, ...] = shown(())
    expiration_seconds: int | None = None
    bound_object_ref: BoundObjectReference | None = None


class TokenRequestStatus(Model):
    """The token.

    token: what a client shows: `Authorization: Bearer TOKEN`.
    expiration_timestamp: until when.
    """

    token: str = shown("")
    expiration_timestamp: Instant | None = None


class TokenRequest(Model):
    """Asks for a token of a service account."""

    api_version: str = shown("authentication.k8s.io/v1")
    kind: str = shown("TokenRequest")
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: TokenRequestSpec = msgspec.field(default_factory=TokenRequestSpec)
    status: TokenRequestStatus = msgspec.field(default_factory=TokenRequestStatus)
