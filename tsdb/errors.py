"""What can go wrong, as facts: each error knows the word that Prometheus' API uses for it."""


class TsdbError(Exception):
    """Every refusal of the store. `kind` is the errorType and `code` the status over HTTP."""

    kind = "internal"
    code = 500


class BadData(TsdbError):
    """The request itself is wrong: a name, a number, a query that cannot be parsed."""

    kind = "bad_data"
    code = 400


class LimitExceeded(TsdbError):
    """A named limit stands in the way. Ask for less, or let the operator raise that limit."""

    kind = "execution"
    code = 422

    def __init__(self, limit: str, allowed: float, found: float) -> None:
        super().__init__(f"over the limit {limit}: {found:g} where at most {allowed:g} are allowed")
        self.limit, self.allowed, self.found = limit, allowed, found


class Overloaded(LimitExceeded):
    """Too much at once: the same request may succeed later."""

    kind = "unavailable"
    code = 503


class QueryFailed(TsdbError):
    """The query is well formed, yet has no answer: a many-to-many match, for one."""

    kind = "execution"
    code = 422


class QueryTimeout(TsdbError):
    """The query ran past its deadline and was stopped."""

    kind = "timeout"
    code = 503


class DiskRefused(TsdbError):
    """The disk is full or failing: writes are refused, queries go on. Nothing was acknowledged."""

    kind = "unavailable"
    code = 503


class Corrupt(TsdbError):
    """Bytes on disk do not match their checksum. Says the file and what is lost with it."""
