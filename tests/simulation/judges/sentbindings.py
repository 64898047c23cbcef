"""To which node each pod was sent, as long as it may be there: a law of every scheduler's life."""

from dataclasses import dataclass, field

from cubernetes.api.bodies.envelopes import FENCE_HEADER, Binding
from cubernetes.api.coding import codec
from cubernetes.host.web.messages import Request

# Answers that leave open whether this attempt, or one before it, has worked.
UNDECIDED_CODES = (429, 500, 503, 504)


@dataclass(slots=True)
class SentBindings:
    """Watches what one life sends: nobody else must undo what it does not know the outcome of.

    The API server refuses to bind a pod twice, so that no commit shows it when a scheduler decides
    anew about a pod whose binding may have happened: what is looked at is what was sent.
    """

    # By term of leadership (a later one begins without any memory) and the pod's uid.
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    sent_count: int = 0

    def sent(self, request: Request) -> None:
        """Take note of a request before it travels."""
        if (key := self._key(request)) is None:
            return
        self.sent_count += 1
        binding = codec.read_model(Binding, request.body, "Binding")
        node = binding.target.name
        before = self.places.setdefault(key, node)
        if before != node:
            pod = binding.metadata.name
            self.broken.append(f"{pod} was sent to {before}, where it may be, and then to {node}")

    def answered(self, request: Request, status: int) -> None:
        """Take note of an answer: only a refusal says for certain that the pod is not there."""
        key = self._key(request)
        if key is not None and status >= 400 and status not in UNDECIDED_CODES:
            self.places.pop(key, None)

    def _key(self, request: Request) -> tuple[str, str] | None:
        if not request.path.endswith("/binding"):
            return None
        uid = codec.read_model(Binding, request.body, "Binding").metadata.uid
        return request.headers.get(FENCE_HEADER, ""), uid
