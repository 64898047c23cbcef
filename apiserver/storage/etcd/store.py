"""The store in etcd: its promises in store.py, kept over gRPC."""

from collections import deque
from collections.abc import AsyncGenerator, Sequence

import grpc

from apiserver.storage.batch import Proposal
from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.etcd.channel import (
    ALARM,
    COMPACT,
    DEFRAGMENT,
    GRANT,
    KEEP_ALIVE,
    RANGE,
    REVOKE,
    STATUS,
    TXN,
    Channel,
    Message,
    Method,
)
from apiserver.storage.etcd.refusals import refusal
from apiserver.storage.etcd.version import check_version
from apiserver.storage.etcd.watch import EtcdWatch, oldest_revision
from apiserver.storage.etcd.wire import (
    entry_of,
    found_in,
    get_request,
    list_request,
    outcome_of,
    transaction,
)
from apiserver.storage.groupcommit import GroupCommit
from apiserver.storage.limits import check_transaction
from apiserver.storage.settings import EtcdSettings
from apiserver.storage.store import (
    Changes,
    Compacted,
    Compare,
    Entry,
    LeaseEnded,
    Op,
    Outcome,
    Page,
    Unavailable,
    Usage,
)
from cubernetes.host.env import Env
from cubernetes.host.log import Log

log = Log(__name__)

# Entries in one message of a list, so that a long one neither fills memory nor stops the loop.
LIST_PAGE_MAX = 1_000
# Times that a list begins anew because a compaction overtook it.
LIST_ATTEMPTS_MAX = 3


async def connect(settings: EtcdSettings, env: Env) -> "EtcdStore":
    """Return a store, after every endpoint that answers has told a version that is good enough.

    Raises:
        Unavailable: no endpoint answers.
        VersionRefused: an etcd has known faults.
        ValueError: an endpoint beyond loopback, and no certificates.
    """
    store = EtcdStore(settings, env)
    try:
        await store.check_versions()
    except BaseException:
        await store.close()
        raise
    return store


class EtcdStore:
    """A Store in etcd. Make it with `connect`, which refuses servers that are too old."""

    def __init__(self, settings: EtcdSettings, env: Env) -> None:
        self._env = env
        self._channel = Channel(settings)
        self._group = GroupCommit(self._send, env.clock)
        self._watches: dict[EtcdWatch, None] = {}

    async def check_versions(self) -> None:
        """Ask every endpoint for its version; one that does not answer may join later."""
        told: list[str] = []
        for endpoint in self._channel.endpoints:
            try:
                status = await endpoint.call(
                    STATUS, rpc.StatusRequest(), self._channel.settings.deadline_s
                )
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name}: {error.details()}"
                log.warning("etcd endpoint does not answer", endpoint=endpoint.address, why=why)
                continue
            check_version(endpoint.address, status.version)
            told.append(status.version)
        if not told:
            raise Unavailable("no endpoint of etcd answers")

    async def get(self, key: str) -> tuple[Entry | None, int]:
        answer = await self._channel.call(RANGE, get_request(key))
        return found_in(answer), answer.header.revision

    async def list(
        self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = ""
    ) -> Page:
        for _ in range(LIST_ATTEMPTS_MAX):
            try:
                return await self._list(prefix, revision, limit, after)
            except Compacted:
                if revision:
                    oldest = await oldest_revision(self._channel, revision + 1)
                    raise Compacted(oldest) from None
        raise Unavailable("compactions overtook a list again and again")

    async def _list(self, prefix: str, revision: int, limit: int, after: str) -> Page:
        entries: list[Entry] = []
        while True:
            wanted = min(LIST_PAGE_MAX, limit - len(entries)) if limit else LIST_PAGE_MAX
            request = list_request(prefix, revision=revision, limit=wanted, after=after)
            answer = await self._channel.call(RANGE, request)
            # Every further page is of the same moment as the first.
            revision = revision or answer.header.revision
            entries += [entry_of(pair) for pair in answer.kvs]
            if not answer.more or len(entries) == limit:
                return Page(tuple(entries), revision, answer.more)
            after = entries[-1].key

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        check_transaction(compares, ops)
        return await self._group.commit(compares, ops)

    async def _send(self, proposal: Proposal, tells_found: bool) -> Outcome:
        request = transaction(proposal.compares, proposal.ops, tells_found=tells_found)
        answer = await self._channel.call(TXN, request, is_write=bool(proposal.ops))
        return outcome_of(answer)

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Changes]:
        watch = EtcdWatch(prefix, after, self._channel, self._env)
        self._watches[watch] = None
        try:
            while (changes := await watch.next()) is not None:
                yield changes
        finally:
            watch.close()
            self._watches.pop(watch, None)

    async def progress(self) -> None:
        _, revision = await self.get("\0")
        for watch in self._watches:
            watch.want(revision)

    async def grant(self, ttl_s: int) -> int:
        request = rpc.LeaseGrantRequest(ttl=ttl_s)
        return (await self._channel.call(GRANT, request, is_write=True)).id

    async def renew(self, lease: int) -> bool:
        endpoint = self._channel.current
        stream = endpoint.stream(KEEP_ALIVE, deadline_s=self._channel.settings.deadline_s)
        try:
            await stream.write(rpc.LeaseKeepAliveRequest(id=lease))
            answer = await stream.read()
        except grpc.aio.AioRpcError as status:
            self._channel.turn_from(endpoint)
            raise refusal(status.code().name, status.details() or "", is_write=False) from None
        finally:
            stream.cancel()
        if answer is grpc.aio.EOF:
            raise Unavailable("etcd ended the stream before it renewed the lease")
        return bool(answer.ttl > 0)

    async def revoke(self, lease: int) -> None:
        try:
            await self._channel.call(REVOKE, rpc.LeaseRevokeRequest(id=lease), is_write=True)
        except LeaseEnded:
            return

    async def compact(self, revision: int) -> None:
        try:
            await self._channel.call(
                COMPACT,
                rpc.CompactionRequest(revision=revision, physical=True),
                is_write=True,
                deadline_s=self._channel.settings.upkeep_deadline_s,
            )
        except Compacted:
            return

    async def usage(self) -> Usage:
        settings = self._channel.settings
        told = await self._asked(STATUS, rpc.StatusRequest(), settings.deadline_s)
        alarms = await self._channel.call(ALARM, rpc.AlarmRequest())
        return Usage(
            max(one.db_size for one in told),
            max(one.db_size_in_use for one in told),
            settings.quota_bytes,
            any(one.alarm == rpc.NOSPACE for one in alarms.alarms),
        )

    async def defragment(self) -> None:
        # One after another: with several members, the others answer meanwhile.
        deadline_s = self._channel.settings.upkeep_deadline_s
        await self._asked(DEFRAGMENT, rpc.DefragmentRequest(), deadline_s)

    async def disarm(self) -> None:
        found = await self._channel.call(ALARM, rpc.AlarmRequest())
        for one in found.alarms:
            # Another alarm tells of a store that is broken: that one is for people.
            if one.alarm == rpc.NOSPACE:
                off = rpc.AlarmRequest(
                    action=rpc.AlarmRequest.DEACTIVATE, member_id=one.member_id, alarm=one.alarm
                )
                await self._channel.call(ALARM, off, is_write=True)

    async def _asked[Answer](
        self, method: Method[Answer], request: Message, deadline_s: float
    ) -> Sequence[Answer]:
        """Ask every member, one after another; one that is away keeps nobody from the others.

        Raises: StoreError: none has answered.
        """
        answers: deque[Answer] = deque()
        why: Exception = Unavailable("no endpoint of etcd answers")
        for endpoint in self._channel.endpoints:
            try:
                answers.append(await endpoint.call(method, request, deadline_s))
            except grpc.aio.AioRpcError as status:
                why = refusal(status.code().name, status.details() or "", is_write=False)
        if not answers:
            raise why
        return answers

    async def close(self) -> None:
        for watch in self._watches:
            watch.close()
        await self._group.close()
        await self._channel.close()
