"""The audit: one line for each request that is known to be somebody's, and some of strangers'.

What a stranger sends costs nothing but his own trouble, so that his lines are short, few a second,
and in a log of their own: they push no other line out of a file. Those left out are counted, and
the next line tells how many they were.
"""

from dataclasses import dataclass, field

from apiserver.call import Route, Trace
from apiserver.fairness.rate import Rate
from cubernetes.host.log import Log
from cubernetes.host.web.messages import ANONYMOUS

# As long as a path may be that has a route.
PATH_CHARS_MAX = 1024
STRANGER_PATH_CHARS_MAX = 200
WHY_CHARS_MAX = 200
NOTE_CHARS_MAX = 2000
METHOD_CHARS_MAX = 20
STRANGER_LINES_PER_S, STRANGER_LINES_BURST = 10.0, 100

audit = Log("apiserver.audit")
STRANGERS = "apiserver.strangers"
strangers = Log(STRANGERS)


@dataclass(slots=True)
class AuditRecord:
    """What is told of a request: to people by the audit, and counted.

    resource is empty as long as no route has matched.
    """

    user: str
    verb: str
    resource: str = ""
    why: str = ""
    address: str = ""
    trace: Trace = field(default_factory=Trace)

    def matched(self, route: Route) -> None:
        self.verb, self.resource = route.verb, resource_of(route)

    @property
    def counted_verb(self) -> str:
        """What a stranger writes into a request line becomes no label: only a route's words do."""
        return self.verb if self.resource else "other"

    @property
    def is_strangers(self) -> bool:
        return self.user in ("", ANONYMOUS.user)


class Audit:
    """Writes the lines."""

    def __init__(self) -> None:
        self._rate = Rate(STRANGER_LINES_PER_S, STRANGER_LINES_BURST)

    def tell(
        self, record: AuditRecord, path: str, code: int, latency_ms: float, now_s: float
    ) -> None:
        """Write the line of a request that has ended."""
        is_strangers = record.is_strangers
        if is_strangers and not self._rate.allows(now_s):
            return
        facts: dict[str, object] = {
            "user": record.user,
            "verb": record.verb[:METHOD_CHARS_MAX],
            "resource": record.resource,
        }
        if record.why:
            facts["why"] = record.why[:WHY_CHARS_MAX]
        if record.address:
            facts["address"] = record.address
        if record.trace.request_id:
            facts["request_id"] = record.trace.request_id
        if record.trace.cause:
            facts["cause"] = record.trace.cause
        # Notes quote what a body says, which may be long.
        facts.update((key, text[:NOTE_CHARS_MAX]) for key, text in record.trace.notes.items())
        if is_strangers and (missed := self._rate.missed()):
            facts["lines_left_out"] = missed
        most = STRANGER_PATH_CHARS_MAX if is_strangers else PATH_CHARS_MAX
        if len(path) > most:
            facts["path_letters"] = len(path)
        log = strangers if is_strangers else audit
        log.info("request", path=path[:most], code=code, latency_ms=latency_ms, **facts)

    def tell_session(self, **facts: object) -> None:
        """Write the line of a session that has ended; its beginning has the line of a request."""
        audit.info("session ended", **facts)


def resource_of(route: Route) -> str:
    """Return what a route is about, in a few words: `pods`, `pods/status`, `join`, `server`."""
    if route.kind is None:
        return route.resource or "server"
    plural = route.kind.resource.plural
    return f"{plural}/{route.subresource}" if route.subresource else plural
