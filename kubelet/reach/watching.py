"""Asks the other nodes in the pods' network again and again, and tells whom it has lost.

A node that is not Ready is not asked: its silence is known, and told by others.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from cubernetes.api.core.node import Node
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from kubelet.network.driver import Peer
from kubelet.reach.reach import PEERS_MAX, Reach
from kubelet.reach.silence import News, Silence, silence_after

log = Log(__name__)

LOOK_S = 10.0
# Of a cluster's break many peers are lost at once: what blocks is looked for on so many ways.
EXPLAINED_MAX = 5


class Watching:
    """peers: those that should answer. about: this node's own object, whose events they are.

    take_mtus: told the largest packet that gets to each, in bytes, where that has changed.
    """

    def __init__(
        self,
        env: Env,
        reach: Reach,
        peers: Callable[[], Sequence[Peer]],
        about: Callable[[], Node | None],
        tell: Callable[[Record], None],
        take_mtus: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._env, self._reach, self._peers = env, reach, peers
        self._about, self._tell = about, tell
        self._take_mtus, self._mtus = take_mtus, dict[str, int]()
        self._silence = Silence()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self._env.clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask every peer once; tell what is new."""
        peers = list(self._peers())[:PEERS_MAX]
        answers = await asyncio.gather(*(self._reach.answers(one) for one in peers))
        answered = {one.name: is_there for one, is_there in zip(peers, answers, strict=True)}
        now_s = self._env.clock.monotonic()
        self._silence, news = silence_after(self._silence, answered, now_s)
        by_name = {one.name: one for one in peers}
        for index, one in enumerate(news):
            why = ""
            if one.is_lost and index < EXPLAINED_MAX:
                why = await self._reach.blocked(by_name[one.peer])
            self._take(one, why)
        await self._measure([one for one in peers if answered[one.name]])

    async def _measure(self, peers: Sequence[Peer]) -> None:
        """Ask how large packets may be on the way to peers that answer; hand on what is new."""
        found = await asyncio.gather(*(self._reach.node_mtu(one) for one in peers))
        mtus = {one.name: size for one, size in zip(peers, found, strict=True) if size}
        if mtus != self._mtus:
            self._mtus = mtus
            self._take_mtus(mtus)

    def _take(self, news: News, why: str) -> None:
        log.warning("peer lost" if news.is_lost else "peer back", peer=news.peer, why=why)
        node = self._about()
        if node is not None:
            self._tell(record_of(news, why, node))


def record_of(news: News, why: str, node: Node) -> Record:
    """Return what people are told."""
    if news.is_lost:
        said = f"{news.peer}: {why or 'nothing comes back'} (for {news.silent_s:.0f} s)"
        return Record(node, "NetworkPeerLost", said, "Warning")
    return Record(node, "NetworkPeerBack", f"{news.peer} answers again after {news.silent_s:.0f} s")
