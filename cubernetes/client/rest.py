"""The typed client: every verb of the API, and every way in which one can end.

A verb returns, or raises an `ApiError` (the server refused), `Unreachable` (nothing happened) or
`UnknownOutcome` (a write that may have happened). Retries that are safe have been made by then.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from cubernetes.api.bodies.accounts import TokenRequest
from cubernetes.api.bodies.envelopes import (
    FENCE_HEADER,
    Binding,
    DeleteOptions,
    Eviction,
    Listing,
    PartialMeta,
    Preconditions,
    Propagation,
    Scale,
)
from cubernetes.api.coding import codec
from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.errors import ApiError, Conflict, NotFound
from cubernetes.api.meta import Model, Object, ObjectMeta
from cubernetes.client.call import Caller, Settle
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.transport import Transport
from cubernetes.client.watching import Change, changes
from cubernetes.client.wire.paths import collection_of, path_of
from cubernetes.client.wire.queries import (
    Query,
    list_query,
    log_query,
    selection_query,
    watch_query,
)
from cubernetes.client.wire.refusals import refusal_of
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response

MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
# Servers send a bookmark every few seconds: one that is silent for so long is dead, or cut off.
WATCH_SILENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class FencingToken:
    """A leader's right to write: void as soon as the lease has changed hands once more.

    uid is the lease's: one that was deleted and made again counts its hands from the beginning.
    """

    namespace: str
    lease: str
    epoch: int
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.lease}:{self.epoch}:{self.uid}"


class Client:
    """Talks to an API server through a transport; safe for any number of tasks at once."""

    def __init__(
        self,
        transport: Transport,
        env: Env,
        *,
        deadline_s: float = 10.0,
        agent: str = "",
        fence: FencingToken | None = None,
    ) -> None:
        """deadline_s is for a whole call with its retries; agent is who we say we are."""
        self._caller = Caller(transport, env, deadline_s)
        self._env = env
        self._deadline_s = deadline_s
        self._agent = agent
        self._fence = fence

    @property
    def transport(self) -> Transport:
        return self._caller.transport

    def fenced(self, fence: FencingToken) -> "Client":
        """Return a client over the same connections whose writes end with the fence."""
        return Client(
            self.transport, self._env, deadline_s=self._deadline_s, agent=self._agent, fence=fence
        )

    async def close(self) -> None:
        await self.transport.close()

    # Reading

    async def get[O: Object](self, kind: type[O], name: str, namespace: str = "") -> O:
        """Return the object as it stands now, whichever server answers."""
        body = await self._caller.call(
            self._request("GET", path_of(kind.resource, namespace, name))
        )
        return _read(kind, body)

    async def list[O: Object](  # noqa: PLR0913  the API's own parameters
        self,
        kind: type[O],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        revision: str | None = None,
        limit: int = 0,
        proceed: str = "",
    ) -> Listing[O]:
        """Return the objects of a kind as of one revision, in the order of (namespace, name).

        revision None is the newest; otherwise any that is not older, and Timeout where the server
        does not get there. limit 0 is all; proceed is the `continue` of the page before.
        """
        selection = selection_query(labels, fields)
        query = list_query(selection, revision=revision, limit=limit, proceed=proceed)
        body = await self._caller.call(
            self._request("GET", collection_of(kind.resource, namespace), query)
        )
        listing = cast(Any, Listing)[kind]
        return cast(Listing[O], _read(listing, body))

    async def watch[O: Object](
        self,
        kind: type[O],
        namespace: str = "",
        *,
        revision: str,
        labels: str = "",
        fields: str = "",
        timeout_s: int = 300,
    ) -> AsyncGenerator[Change[O]]:
        """Yield every change after revision; ends after timeout_s. Close it (`aclosing`).

        Raises: Gone (list again), another ApiError, Unreachable, Unknown (watch again).
        """
        query = watch_query(selection_query(labels, fields), revision, timeout_s)
        request = self._request("GET", collection_of(kind.resource, namespace), query)
        stream = changes(
            self.transport,
            kind,
            request,
            open_s=self._deadline_s,
            silence_s=WATCH_SILENCE_S,
        )
        try:
            async for change in stream:
                yield change
        finally:
            await stream.aclose()

    # Writing

    async def create[O: Object](self, one: O) -> O:
        """Raises: AlreadyExists; Unknown is for the caller: look for the name."""
        path = collection_of(type(one).resource, one.metadata.namespace)
        return await self._write("POST", path, one)

    async def update[O: Object](self, one: O) -> O:
        """Replace an object, its status excepted. Raises: Conflict where someone wrote since."""
        return await self._replace(one, "")

    async def update_status[O: Object](self, one: O) -> O:
        """Replace the status alone. Raises: Conflict where someone wrote since."""
        return await self._replace(one, "status")

    async def finalize[O: Object](self, one: O) -> O:
        """Replace the finalizers of a namespace's spec, and nothing else of it."""
        return await self._replace(one, "finalize")

    async def _replace[O: Object](self, one: O, subresource: str) -> O:
        kind, meta = type(one), one.metadata

        async def settle(refusal: ApiError) -> bytes:
            if not isinstance(refusal, Conflict):
                raise refusal
            found = await self.get(kind, meta.name, meta.namespace)
            if not _says_the_same(found, one, subresource):
                raise refusal
            return codec.encode(found)

        path = path_of(kind.resource, meta.namespace, meta.name, subresource)
        # Only a write with a precondition may be repeated: it cannot happen twice.
        return await self._write("PUT", path, one, settle if meta.resource_version else None)

    async def patch[O: Object](
        self,
        kind: type[O],
        name: str,
        namespace: str,
        change: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> O:
        """Merge change (RFC 7386) into an object."""
        path = path_of(kind.resource, namespace, name, subresource)
        request = self._request(
            "PATCH", path, body=msgspec.json.encode(change), content_type=MERGE_PATCH
        )
        return _read(kind, await self._caller.call(request))

    async def delete(  # noqa: PLR0913  the API's own parameters
        self,
        kind: type[Object],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        propagation: Propagation | None = None,
    ) -> str:
        """Ask for deletion; it may go on after this returns (grace, finalizers).

        Returns the revision of what the server answered with, empty where it does not tell.

        Raises: NotFound; Conflict where uid or resource_version is another.
        """
        guards = Preconditions(uid=uid, resource_version=resource_version)
        options = DeleteOptions(
            grace_period_seconds=grace_s,
            preconditions=guards if uid or resource_version else None,
            propagation_policy=propagation,
        )

        async def settle(refusal: ApiError) -> bytes:
            if not isinstance(refusal, NotFound | Conflict):
                raise refusal
            if isinstance(refusal, Conflict) and await self._stands(kind, name, namespace, uid):
                raise refusal
            return b"{}"

        path = path_of(kind.resource, namespace, name)
        request = self._request("DELETE", path, body=codec.encode(options))
        body = await self._caller.call(request, settle if uid else None)
        return _read(PartialMeta, body).metadata.resource_version

    async def _stands(self, kind: type[Object], name: str, namespace: str, uid: str) -> bool:
        """Tell whether this incarnation is there, and nobody has asked for its deletion."""
        try:
            found = await self.get(kind, name, namespace)
        except NotFound:
            return False
        return found.metadata.uid == uid and not found.metadata.is_deleted

    async def delete_collection(
        self, kind: type[Object], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> None:
        """Ask for the deletion of every object that the selectors choose."""
        query = selection_query(labels, fields)
        await self._caller.call(
            self._request("DELETE", collection_of(kind.resource, namespace), query)
        )

    async def bind(self, name: str, namespace: str, uid: str, node: str) -> None:
        """Put the pod on the node, once.

        Raises: Conflict where the pod is on another node, or is another incarnation.
        """
        binding = Binding(
            metadata=ObjectMeta(name=name, namespace=namespace, uid=uid),
            target=ObjectReference(api_version="v1", kind="Node", name=node),
        )

        async def settle(refusal: ApiError) -> bytes:
            if not isinstance(refusal, Conflict):
                raise refusal
            found = await self.get(Pod, name, namespace)
            if found.metadata.uid != uid or found.spec.node_name != node:
                raise refusal
            return b""

        path = path_of(Pod.resource, namespace, name, "binding")
        request = self._request("POST", path, body=codec.encode(binding))
        await self._caller.call(request, settle)

    async def evict(
        self, name: str, namespace: str, *, uid: str = "", grace_s: int | None = None
    ) -> None:
        """Ask for the deletion of a pod, if its disruption budget allows it.

        uid, where given, is the incarnation that is meant.

        Raises: NotFound; Conflict: another one has the name; TooManyRequests: the budget does not
        allow it now.
        """
        meant = Preconditions(uid=uid) if uid else None
        options = DeleteOptions(grace_period_seconds=grace_s, preconditions=meant)
        meta = ObjectMeta(name=name, namespace=namespace)
        eviction = Eviction(metadata=meta, delete_options=options)
        path = path_of(Pod.resource, namespace, name, "eviction")
        await self._caller.call(self._request("POST", path, body=codec.encode(eviction)))

    async def token(self, account: str, namespace: str, asked: TokenRequest) -> TokenRequest:
        """Ask for a token of a service account."""
        path = path_of(ServiceAccount.resource, namespace, account, "token")
        request = self._request("POST", path, body=codec.encode(asked))
        return _read(TokenRequest, await self._caller.call(request))

    async def scale(
        self, kind: type[Object], name: str, namespace: str, replicas: int | None = None
    ) -> Scale:
        """Return the size of a workload, after setting it where replicas is given."""
        path = path_of(kind.resource, namespace, name, "scale")
        request = self._request("GET", path)
        if replicas is not None:
            change = msgspec.json.encode({"spec": {"replicas": replicas}})
            request = self._request("PATCH", path, body=change, content_type=MERGE_PATCH)
        return _read(Scale, await self._caller.call(request))

    # Anything else

    async def log(  # noqa: PLR0913  the API's own parameters
        self,
        pod: str,
        namespace: str,
        *,
        container: str = "",
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        since_s: int | None = None,
    ) -> AsyncGenerator[bytes]:
        """Yield what a container wrote, in chunks; with follow, as it comes. Close it."""
        query = log_query(
            container=container,
            follow=follow,
            tail=tail,
            previous=previous,
            timestamps=timestamps,
            since_s=since_s,
        )
        request = self._request("GET", path_of(Pod.resource, namespace, pod, "log"), query)
        response = await self.transport.open(request, deadline_s=self._deadline_s)
        if response.status >= 300:
            body = response.body if isinstance(response.body, bytes) else b""
            raise refusal_of(response.status, body, response.headers)
        if isinstance(response.body, bytes):
            yield response.body
            return
        stream = cast(AsyncGenerator[bytes], response.body)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            await stream.aclose()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes = b"",
        content_type: str = JSON,
    ) -> Response:
        """Send one request, once, and return its answer, whatever its status.

        Raises: Unreachable, Unknown.
        """
        request = self._request(method, path, query, body=body, content_type=content_type)
        return await self.transport.send(request, deadline_s=self._deadline_s)

    async def _write[O: Object](
        self, method: str, path: str, one: O, settle: Settle | None = None
    ) -> O:
        request = self._request(method, path, body=codec.encode(cast(Model, one)))
        return _read(type(one), await self._caller.call(request, settle))

    def _request(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        body: bytes = b"",
        content_type: str = JSON,
    ) -> Request:
        headers = {"accept": JSON}
        if self._agent:
            headers["user-agent"] = self._agent
        if body:
            headers["content-type"] = content_type
        if self._fence is not None and method != "GET":
            headers[FENCE_HEADER] = str(self._fence)
        return Request(method, path, tuple(query), headers, body)


def _read[M: Model](kind: type[M], body: bytes) -> M:
    """Read the body of a success; what cannot be read tells nothing of what has happened."""
    try:
        return codec.decode(kind, body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnknownOutcome(f"the answer is no {kind.__name__}: {str(error)[:200]}") from error


def _says_the_same(found: Object, sent: Object, subresource: str) -> bool:
    """Tell whether found holds what a write of sent would have left, server's fields apart."""
    if sent.metadata.uid not in ("", found.metadata.uid):
        return False
    there, here = codec.to_tree(found), codec.to_tree(sent)
    if subresource == "status":
        return there.get("status") == here.get("status")
    for tree in (there, here):
        tree.pop("status", None)
        for field in ("resourceVersion", "generation"):
            tree["metadata"].pop(field, None)
    return there == here
