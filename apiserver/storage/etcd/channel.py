"""The connection to etcd: several endpoints, mutual TLS, a deadline on every call.

One gRPC channel for each endpoint, one of them in use. A call that certainly did not happen goes
on to the next endpoint; any other failure turns to the next endpoint for later calls only. Every
request asks for a leader, so that a member cut off from the others says so at once instead of
letting us wait.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.etcd.refusals import refusal
from apiserver.storage.settings import EtcdSettings
from apiserver.storage.store import StoreError, Unavailable, WriteInDoubt

LEADER_WANTED = (("hasleader", "true"),)
LOOPBACK = ("127.", "localhost:", "[::1]:")

OPTIONS = (
    # etcd limits what it sends; a long list must not be refused by us after it was read.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A dead peer is noticed after 15 s at most; etcd forbids pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # In spite of its name this is how long one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # Whether to repeat a write is for us to decide.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
)


class Message(Protocol):
    """What generated messages have in common, as far as a channel cares."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802  protobuf's name


@dataclass(frozen=True)
class Method[Answer]:
    """A unary call of etcd's API: its path and how to read its answer."""

    path: str
    read: Callable[[bytes], Answer]


RANGE = Method("/etcdserverpb.KV/Range", rpc.RangeResponse.FromString)
TXN = Method("/etcdserverpb.KV/Txn", rpc.TxnResponse.FromString)
COMPACT = Method("/etcdserverpb.KV/Compact", rpc.CompactionResponse.FromString)
GRANT = Method("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantResponse.FromString)
REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeResponse.FromString)
STATUS = Method("/etcdserverpb.Maintenance/Status", rpc.StatusResponse.FromString)
ALARM = Method("/etcdserverpb.Maintenance/Alarm", rpc.AlarmResponse.FromString)
DEFRAGMENT = Method("/etcdserverpb.Maintenance/Defragment", rpc.DefragmentResponse.FromString)
KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveResponse.FromString)
WATCH = Method("/etcdserverpb.Watch/Watch", rpc.WatchResponse.FromString)


class Endpoint:
    """One member of the cluster, and the calls that were made ready for it."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, OPTIONS)
        # gRPC's callables are untyped.
        self._unary: dict[str, Any] = {}

    async def call[Answer](
        self, method: Method[Answer], request: Message, deadline_s: float
    ) -> Answer:
        ready = self._unary.get(method.path)
        if ready is None:
            ready = self._unary[method.path] = self._channel.unary_unary(
                method.path,
                request_serializer=_encoded,
                response_deserializer=method.read,
            )
        answer: Answer = await ready(request, timeout=deadline_s, metadata=LEADER_WANTED)
        return answer

    def stream(self, method: Method[Any], deadline_s: float | None = None) -> Any:
        """Return a new gRPC stream (read, write, cancel); it ends after deadline_s, if given."""
        opened = self._channel.stream_stream(
            method.path, request_serializer=_encoded, response_deserializer=method.read
        )
        return opened(timeout=deadline_s, metadata=LEADER_WANTED)

    async def close(self) -> None:
        await self._channel.close()


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()


class Channel:
    """The cluster behind its endpoints."""

    def __init__(self, settings: EtcdSettings) -> None:
        credentials = _credentials(settings)
        self.endpoints = [Endpoint(each, credentials) for each in settings.endpoints]
        self._place = 0
        self.settings = settings
        self._closed = False

    @property
    def current(self) -> Endpoint:
        return self.endpoints[self._place]

    def turn_from(self, endpoint: Endpoint) -> None:
        """Use another endpoint from now on, if this one is still the one in use."""
        if self.current is endpoint:
            self._place = (self._place + 1) % len(self.endpoints)

    async def call[Answer](
        self,
        method: Method[Answer],
        request: Message,
        *,
        is_write: bool = False,
        deadline_s: float | None = None,
    ) -> Answer:
        """Make a unary call, with the usual deadline unless one is given.

        Raises:
            StoreError: by its reason; Unknown only where is_write.
        """
        error: StoreError = Unavailable("no endpoint was tried")
        for _ in self.endpoints:
            endpoint = self.current
            try:
                limit_s = self.settings.deadline_s if deadline_s is None else deadline_s
                return await self._attempt(endpoint, method, request, limit_s)
            except grpc.aio.AioRpcError as status:
                error = refusal(status.code().name, status.details() or "", is_write=is_write)
            if not isinstance(error, Unavailable | WriteInDoubt):
                raise error
            self.turn_from(endpoint)
            if isinstance(error, WriteInDoubt):
                raise error
        raise error

    async def _attempt[Answer](
        self, endpoint: Endpoint, method: Method[Answer], request: Message, deadline_s: float
    ) -> Answer:
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            return await endpoint.call(method, request, deadline_s)
        except asyncio.CancelledError:
            # gRPC raises this also in tasks that were not cancelled, when the channel is closed.
            if self._closed and not was_cancelled():
                raise WriteInDoubt("the store was closed during a call") from None
            raise

    async def close(self) -> None:
        self._closed = True
        for endpoint in self.endpoints:
            await endpoint.close()


def was_cancelled() -> bool:
    """Tell whether the running task itself was asked to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _credentials(settings: EtcdSettings) -> grpc.ChannelCredentials | None:
    if settings.ca_file:
        return grpc.ssl_channel_credentials(
            root_certificates=Path(settings.ca_file).read_bytes(),
            private_key=Path(settings.key_file).read_bytes(),
            certificate_chain=Path(settings.cert_file).read_bytes(),
        )
    for endpoint in settings.endpoints:
        if not endpoint.startswith(LOOPBACK):
            raise ValueError(f"etcd at {endpoint} is not on loopback: certificates are needed")
    return None
