"""What can go wrong in a call to the API: each error is the fact, with its code and reason.

Codes and reasons are Kubernetes' (metav1.StatusReason). The API server turns these into Status
objects at one place; the client turns Status objects back into these at one place.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with an object: where, and what would be right.

    reason is Kubernetes' CauseType: FieldValueInvalid, FieldValueRequired, FieldValueNotSupported,
    FieldValueDuplicate, FieldValueForbidden, FieldValueNotFound.
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"


# The reason of a cause: the server has not come to the revision that was asked for, or never will.
AHEAD = "ResourceVersionTooLarge"
# The reason of a cause: an eviction would leave fewer healthy pods than a budget asks for.
DISRUPTION_BUDGET = "DisruptionBudget"


class ApiError(Exception):
    """A call that did not succeed. `code` is HTTP's, `reason` Kubernetes' CamelCase word."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        problems: Sequence[Problem] = (),
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind, self.group, self.name = kind, group, name
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """The request cannot be understood: its body, a parameter or a selector is malformed."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """The client is not known."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The client may not do this."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such object, kind or path."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The path exists; this verb does not, there."""

    code, reason = 405, "MethodNotAllowed"

    def __init__(self, message: str, *, allowed: Sequence[str] = (), **facts: Any) -> None:
        """allowed: the methods that the path takes, for HTTP's Allow header."""
        super().__init__(message, **facts)
        self.allowed = tuple(allowed)


class NotAcceptable(ApiError):
    """None of the forms that the client accepts can be given."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of this name is there already; it is unchanged."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """Someone wrote first, or a precondition does not hold: read again, decide again, retry."""

    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The history that was asked for is compacted: list again."""

    code, reason = 410, "Expired"


class RequestTooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is of a type that this verb does not take."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object breaks its kind's rules; `problems` lists every one of them."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """A limit of this client is reached: wait retry_after_s."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """A bug of the server; the outcome is unknown."""

    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    """The server or its store is not ready, nothing was changed: try again."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The deadline passed; a write may have happened: read again before deciding."""

    code, reason = 504, "Timeout"


ERRORS: tuple[type[ApiError], ...] = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists,
    Conflict, Gone, RequestTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
    ServiceUnavailable, Timeout,
)  # fmt: skip


def error_for(code: int, reason: str) -> type[ApiError]:
    """Return the error of a Status: by its reason, else by its code, else the family's root."""
    by_reason = {error.reason: error for error in ERRORS}
    by_code = {error.code: error for error in reversed(ERRORS)}
    return by_reason.get(reason) or by_code.get(code) or ApiError
