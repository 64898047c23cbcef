"""The third outcome: a call that was neither answered nor refused.

An `ApiError` is an answer: the server refused, and says why. What stands here is *trouble*: the
world did not let the call through. A writer must tell the two apart, since only one of them
leaves the question whether the write has happened.
"""

from cubernetes.api.errors import InternalError, ServiceUnavailable, Timeout, TooManyRequests

# Answers that settle nothing: whether an attempt before them worked, or what an object is.
UNDECIDED = (Timeout, InternalError, ServiceUnavailable, TooManyRequests)


class TransportError(Exception):
    """The call got no answer. Use one of its two kinds."""


class Unreachable(TransportError):
    """Nothing was sent: the write has not happened, asking again is safe."""


class UnknownOutcome(TransportError):
    """The request may have been carried out: read again before deciding anything."""
