"""The pod network is looked at again: at the kernel's news and every few seconds, while pods live.

What is put right is told as an event of its pod or its node. What lasts over several looks is
trouble: of a pod, which is then not ready and leaves the endpoints, or of the node and all on it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from cubernetes.api.causes import cause_of
from cubernetes.api.meta import Object
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record
from kubelet.network.driver import Damage, NetworkDriver, NetworkTrouble

log = Log(__name__)

LOOK_S = 3.0  # between looks without news
PAUSE_S = 0.5  # between looks, however many news come
# A damage that is still there after this long will not go by itself. More than one look: what a
# busy machine did not manage at once puts nobody out of service.
LASTING_S = 4.0

NODE = ""  # stands for the node among the uids of pods


@dataclass(frozen=True, slots=True)
class Lasting:
    """Damage that could not be put right: since when, and why, for each pod and for the node."""

    since_s: Mapping[str, float] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)

    def trouble_of(self, uid: str, now_s: float) -> str:
        """Return why a pod (or the node) has no network; empty where it has one."""
        is_lasting = uid in self.since_s and now_s - self.since_s[uid] >= LASTING_S
        return self.why[uid] if is_lasting else ""


def lasting_after(before: Lasting, damages: Iterable[Damage], now_s: float) -> Lasting:
    """Return what lasts after a look: what was not found again is over."""
    why: dict[str, str] = {}
    for one in damages:
        if one.why:
            why.setdefault(one.pod_uid, one.why)
    return Lasting({uid: before.since_s.get(uid, now_s) for uid in why}, why)


def record_of(damage: Damage, about: Object) -> Record:
    """Return what people are told of a damage."""
    if damage.why:
        return Record(about, "NetworkNotMended", f"{damage.what}: {damage.why}", "Warning")
    return Record(about, "NetworkMended", f"was damaged and put right: {damage.what}")


class Mending:
    """Keeps the network of this node as it should be, and knows who has none.

    about: what a uid (or NODE) means. on_trouble: told whom a look found in trouble, or out of it.
    """

    def __init__(
        self,
        network: NetworkDriver,
        env: Env,
        about: Callable[[str], Object | None],
        tell: Callable[[Record], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._network, self._env = network, env
        self._about, self._tell, self._on_trouble = about, tell, on_trouble
        self._lasting = Lasting()
        self._is_failing = False
        self._stood_at: IPv4Address | None = None

    async def prepare(self, pod_cidr: IPv4Network) -> None:
        """Make the node carry pods of this range. Raises: NetworkTrouble."""
        await self._network.prepare(pod_cidr)

    def trouble_of(self, uid: str) -> str:
        """Return why nobody reaches a pod; empty where it can be reached."""
        now_s = self._env.clock.monotonic()
        return self._lasting.trouble_of(uid, now_s) or self._lasting.trouble_of(NODE, now_s)

    @property
    def moved_to(self) -> IPv4Address | None:
        return self._network.moved_to

    @property
    def node_trouble(self) -> str:
        return self._lasting.trouble_of(NODE, self._env.clock.monotonic())

    async def run(self) -> None:
        """Look for ever."""
        with self._network.news() as came:
            while True:
                await wait_until(came, LOOK_S)
                came.clear()
                await self._look()
                await self._env.clock.sleep(PAUSE_S)

    async def _look(self) -> None:
        try:
            damages = await self._network.mend()
        except NetworkTrouble as error:
            if not self._is_failing:
                log.warning("network not looked at", why=error)
            self._is_failing = True
            return
        self._is_failing = False
        self._take(damages)
        if self._network.moved_to != self._stood_at:
            self._stood_at = self._network.moved_to
            self._on_trouble(NODE)

    def _take(self, damages: Sequence[Damage]) -> None:
        now_s = self._env.clock.monotonic()
        before, self._lasting = self._lasting, lasting_after(self._lasting, damages, now_s)
        for one in damages:
            if before.why.get(one.pod_uid) == one.why != "":
                continue
            cause = cause_of(one.pod_uid)
            log.warning(
                "network damaged", pod=one.pod_uid, what=one.what, left=one.why, cause=cause
            )
            about = self._about(one.pod_uid)
            if about is not None:
                self._tell(record_of(one, about))
        for uid in sorted(before.why.keys() | self._lasting.why.keys()):
            self._on_trouble(uid)
