"""Takes calls that must survive: each is accepted when the broker has acknowledged it."""

from cubernetes.host.env import Env
from serverless.board.key import FunctionKey
from serverless.bus.bus import BusTrouble, NoTopic
from serverless.durable.dispatch import Dispatcher
from serverless.durable.outcomes import Ended
from serverless.durable.records import BODY_BYTES_MAX, HEAD_BYTES_MAX, Call, id_for, value_of
from serverless.running import Asked, Functions

# Calls that are under way, of all functions.
OPEN_MAX = 100_000
KEY_CHARS_MAX = 255


class NotAccepted(Exception):
    """The call is not accepted, or nobody knows whether it is; status is that of HTTP.

    is_later: the same call may be accepted soon.
    """

    def __init__(self, status: int, why: str, *, is_later: bool = False) -> None:
        super().__init__(why)
        self.status, self.is_later = status, is_later


class UnknownCall(Exception):
    """There is no such call, as far as is known."""


class Acceptor:
    """Accepts calls, and knows what became of them."""

    def __init__(self, env: Env, dispatcher: Dispatcher, functions: Functions) -> None:
        self._env, self._dispatcher, self._functions = env, dispatcher, functions

    async def accept(self, key: FunctionKey, asked: Asked, repeat_key: str = "") -> str:
        """Return the id of a call that the broker has acknowledged.

        repeat_key: who sends it again means the same call. Raises: NotAccepted.
        """
        function = self._functions.function(key)
        if function is None:
            raise NotAccepted(404, f"there is no function {key}")
        self._check(asked, repeat_key)
        uid = function.metadata.uid
        call = Call(
            id=id_for(uid, "key", repeat_key) if repeat_key else self._env.rng.uuid(),
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            method=asked.method,
            path=asked.path,
            params=asked.params,
            variables=asked.variables,
            headers=asked.headers,
            source=asked.source,
            origin=asked.origin,
            deadline_ms=asked.deadline_ms,
        )
        if len(value_of(call)) > HEAD_BYTES_MAX:
            raise NotAccepted(431, f"query and headers may have {HEAD_BYTES_MAX} bytes here")
        await self.write(call, asked.body)
        return call.id

    async def write(self, call: Call, body: bytes) -> None:
        """Return when the broker has acknowledged a call. Raises: NotAccepted."""
        if self._dispatcher.outcomes.is_ended(call.id):
            return
        # From now on it is known; where the broker does not take it, it is forgotten again.
        outcomes = self._dispatcher.outcomes
        is_new = outcomes.accept(call.id)
        try:
            await self._dispatcher.write_call(call, body)
        except (BusTrouble, NoTopic) as error:
            if is_new:
                outcomes.forget(call.id)
            told = f"the broker has not acknowledged the call: {error}"
            raise NotAccepted(503, told, is_later=True) from error

    def _check(self, asked: Asked, repeat_key: str) -> None:
        """Raises: NotAccepted."""
        if len(asked.body) > BODY_BYTES_MAX:
            raise NotAccepted(413, f"the body of such a call may have {BODY_BYTES_MAX} bytes")
        if len(repeat_key) > KEY_CHARS_MAX or not repeat_key.isprintable():
            told = f"Idempotency-Key must be at most {KEY_CHARS_MAX} printable characters"
            raise NotAccepted(400, told)
        if not self._dispatcher.is_ready.is_set():
            raise NotAccepted(503, "the broker does not answer yet", is_later=True)
        if self._dispatcher.outcomes.open_count >= OPEN_MAX:
            raise NotAccepted(503, f"{OPEN_MAX} calls are under way", is_later=True)

    async def ended(self, call: str, wait_s: float) -> Ended | None:
        """Return how a call ended, waiting for it; None: it goes on.

        Raises: UnknownCall; NotAccepted: it is not known yet whether there is such a call.
        """
        outcomes = self._dispatcher.outcomes
        if not outcomes.is_ended(call) and not outcomes.state_of(call):
            if self._dispatcher.knows_all:
                raise UnknownCall(call)
            raise NotAccepted(503, "the calls of before are still being read", is_later=True)
        return await outcomes.wait(call, wait_s)

    async def cancel(self, call: str, wait_s: float) -> Ended | None:
        """Have a call end; return how it ended, None where it has not within wait_s.

        Raises: UnknownCall, NotAccepted: as `ended` does.
        """
        self._dispatcher.cancel(call)
        return await self.ended(call, wait_s)

    def ended_as(self, call: str) -> str:
        """Return the outcome of a call that has ended; empty: it has not, as far as is known."""
        ended = self._dispatcher.outcomes.ended(call)
        return (ended.head.outcome if ended.head else "ended") if ended is not None else ""

    def state_of(self, call: str) -> str:
        return self._dispatcher.outcomes.state_of(call)
