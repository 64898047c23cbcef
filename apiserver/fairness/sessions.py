"""Sessions: streams in both directions through this server; how many each user has, and their end.

A session outlives its request by hours. Its place is taken before the kubelet is asked, and given
back when the stream is aborted, as its relay does in the end.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from apiserver.fairness.places import Places
from cubernetes.host.clock import Clock
from cubernetes.host.metrics import Metrics
from cubernetes.host.web.duplex import Duplex
from cubernetes.host.web.messages import Upgrade

type Tell = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Topic:
    """Whose session it is, and about what; as the audit tells it."""

    user: str
    path: str
    address: str = ""


class Sessions:
    """The sessions that are open, by user."""

    def __init__(
        self, metrics: Metrics, clock: Clock, tell: Tell, *, all_max: int, per_user_max: int
    ) -> None:
        """tell is called with the facts of each session that has ended."""
        self._clock, self._tell = clock, tell
        self._places = Places("sessions", per_user_max, all_max)
        self._open: set[_Session] = set()
        open_count = metrics.gauge(
            "cube_apiserver_exec_sessions", "Sessions of exec that are open through this server."
        )
        open_count.set_function(lambda: self.count)
        self._begun = metrics.counter(
            "cube_apiserver_execs_total", "Sessions of exec that have begun."
        )

    @property
    def count(self) -> int:
        return self._places.count

    async def opened(self, topic: Topic, opening: Callable[[], Awaitable[Upgrade]]) -> Upgrade:
        """Open a session, in a place that it keeps until it is aborted.

        Raises: TooManyRequests, and what opening raises.
        """
        self._places.check_room(topic.user)
        self._places.take(topic.user)
        try:
            upgrade = await opening()
        except BaseException:
            self._places.leave(topic.user)
            raise
        self._begun.inc()
        end = partial(self._ended, topic, self._clock.monotonic())
        session = _Session(upgrade.far, end)
        self._open.add(session)
        return replace(upgrade, far=session)

    def close(self) -> None:
        """End every session."""
        for session in list(self._open):
            session.abort()

    def _ended(
        self,
        topic: Topic,
        begun_at: float,
        session: "_Session",
        sent_bytes: int,
        received_bytes: int,
    ) -> None:
        self._open.discard(session)
        self._places.leave(topic.user)
        self._tell(
            user=topic.user,
            path=topic.path,
            address=topic.address,
            lasted_s=round(self._clock.monotonic() - begun_at, 1),
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
        )


class _Session:
    """A stream that counts what goes through it, and tells of its end, once."""

    def __init__(
        self, far: Duplex[bytes, bytes], end: "Callable[[_Session, int, int], None]"
    ) -> None:
        self._far, self._end = far, end
        self._sent_bytes = self._received_bytes = 0
        self._is_open = True

    async def read(self) -> bytes | None:
        piece = await self._far.read()
        self._sent_bytes += len(piece or b"")
        return piece

    async def write(self, piece: bytes) -> None:
        self._received_bytes += len(piece)
        await self._far.write(piece)

    async def finish(self) -> None:
        await self._far.finish()

    def abort(self) -> None:
        self._far.abort()
        if self._is_open:
            self._is_open = False
            self._end(self, self._sent_bytes, self._received_bytes)
