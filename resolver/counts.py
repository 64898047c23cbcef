"""What the resolver counts: questions by answer, and what became of those that others answer."""

from cubernetes.host.metrics import Counter, Metrics

CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class Counts:
    """The resolver's own families."""

    def __init__(self, metrics: Metrics) -> None:
        told = metrics.counter("cube_resolver_answers_total", "Answers sent, by code.", "code")
        self._answers: dict[int, Counter] = {
            number: told.labels(CODES.get(number, "other")) for number in range(16)
        }
        self.silent = metrics.counter(
            "cube_resolver_unanswered_total", "Datagrams that were no questions, or got no answer."
        )
        self.forwarded = metrics.counter(
            "cube_resolver_forwarded_total", "Questions asked of other name servers."
        )
        self.kept = metrics.counter(
            "cube_resolver_kept_total", "Answers from earlier replies of other name servers."
        )
        self.late = metrics.counter(
            "cube_resolver_late_total", "Attempts that brought no reply from a name server."
        )
        self.failed = metrics.counter(
            "cube_resolver_failed_total", "Questions that no name server replied to."
        )
        self.refused = metrics.counter(
            "cube_resolver_crowded_total", "Questions refused since too many were under way."
        )

    def answered(self, answer: bytes) -> None:
        self._answers[answer[3] & 0xF].inc()
