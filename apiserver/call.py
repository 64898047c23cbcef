"""One request, understood: its route, whom and what it is about, and the parameters all share."""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from apiserver.backend import Backend
from apiserver.strategies.strategy import Strategy
from cubernetes.api.coding.codec import Validation
from cubernetes.api.errors import BadRequest, UnsupportedMediaType
from cubernetes.api.meta import Object
from cubernetes.client.wire.logquery import flag
from cubernetes.host.web.messages import Identity, Request, Response, Unread

type Handler = Callable[[Backend, "Call"], Awaitable[Response]]

# What the values of a route's query parameters are held against. Each raises BadRequest or Invalid.
type Checks = Mapping[str, Callable[[str], None]]

NUMBER_CHARS_MAX = 18


class Policy(Enum):
    """Which clients may use a route."""

    OPEN = "everybody, unknown callers too"
    KNOWN = "everybody who is known"
    ROLE = "whom the authorizer allows"


class Route(NamedTuple):
    """pattern has `{namespace}` and `{name}` in the places of segments."""

    method: str
    pattern: str
    verb: str
    handler: Handler
    policy: Policy | None
    kind: type[Object] | None = None
    subresource: str = ""
    # What the authorizer calls it, where it is no kind's.
    resource: str = ""
    # What the kind asks for beyond the verbs, where the route is about one.
    strategy: Strategy[Any] | None = None
    # Every query parameter that the route knows: what it obeys, and what it refuses by name.
    checks: Checks = {}
    # The handler takes the body as it comes, and has limits of its own for all that it does.
    is_relayed: bool = False


class Trace(msgspec.Struct):
    """What is told of a request beside its answer: to logs, to the audit, and to its client.

    request_id, cause: what joins log lines about it: its id, and the cause of the object that it
        wrote.
    warnings: what its client is told of content that is taken. notes: what the audit tells of it.
    """

    request_id: str = ""
    cause: str = ""
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, str] = msgspec.field(default_factory=dict)

    def about(self, one: Object) -> None:
        """Note which object the request writes."""
        self.cause = one.cause


class Call(msgspec.Struct, frozen=True):
    """A request on its way; namespace and name are empty where its path has none.

    unread: the body of a route that is relayed, which nobody has asked for yet.
    """

    request: Request
    route: Route
    identity: Identity
    namespace: str = ""
    name: str = ""
    trace: Trace = msgspec.field(default_factory=Trace)
    unread: Unread | None = None

    @property
    def kind(self) -> type[Object]:
        """The kind that the path is about; only routes of a kind ask."""
        kind = self.route.kind
        assert kind is not None  # noqa: S101  the table of routes says which handler needs one
        return kind

    @property
    def strategy(self) -> Strategy[Any]:
        """What the kind asks for beyond the verbs; only routes of a kind ask."""
        strategy = self.route.strategy
        assert strategy is not None  # noqa: S101  the table of routes gives each kind's its own
        return strategy

    @property
    def validation(self) -> Validation:
        """What becomes of unknown fields; as in Kubernetes they are told of and left out.

        Raises: BadRequest.
        """
        asked = self.request.parameter("fieldValidation") or "Warn"
        match asked:
            case "Strict" | "Warn" | "Ignore":
                return asked
            case _:
                raise BadRequest("fieldValidation: must be one of Strict, Warn, Ignore")

    @property
    def is_dry(self) -> bool:
        asked = self.request.parameter("dryRun")
        if asked not in ("", "All"):
            raise BadRequest("dryRun: must be All")
        return asked == "All"

    def number(self, name: str, default: int, most: int) -> int:
        """Return a parameter that is a number from 0 to most.

        Raises: BadRequest.
        """
        text = self.request.parameter(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > NUMBER_CHARS_MAX:
            raise BadRequest(f"{name}: must be a number from 0 to {most}")
        if int(text) > most:
            raise BadRequest(f"{name}: must be at most {most}")
        return int(text)

    def is_set(self, name: str) -> bool:
        """Return a parameter that is true or false; absent is false, `?name` alone is true.

        Raises: BadRequest.
        """
        return flag(name, self.request.parameter(name, "false"))


@lru_cache(maxsize=64)
def media_of(content_type: str) -> str:
    """Return the media type of a body; none given is JSON, as real clients forget it.

    Raises: UnsupportedMediaType: a charset other than UTF-8.
    """
    media, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"charset {value[:40]!r}: only utf-8 is taken")
    return media or "application/json"
