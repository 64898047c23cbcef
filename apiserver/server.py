"""The API server without any HTTP library: one request in, one response out.

A request goes the same way whatever it is: route, who asks, may they, then its body, the verb, and
one line of audit. Until it is known that it may be, nothing of a body is read. Every refusal is an
ApiError and becomes a Status in one place; anything else is a bug of ours, told as such and logged
with its record.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial

from msgspec.structs import replace

from apiserver.about import requestids
from apiserver.about.audit import Audit, AuditRecord
from apiserver.about.counts import Counts
from apiserver.about.health import check_loaded
from apiserver.about.openapi.documents import Shelf
from apiserver.auth.accounts import is_account
from apiserver.auth.authorize import (
    OWN_GROUP,
    Attempt,
    may,
    needs_name,
    needs_object,
    reader_of,
)
from apiserver.backend import Backend, JobOutputs, KubeletLogs, Signer, TokenKeys
from apiserver.call import Call, Policy, Trace
from apiserver.enrolment.authenticate import Authenticator
from apiserver.enrolment.granted import is_granted
from apiserver.enrolment.membership import check_member
from apiserver.enrolment.named import NamedObjects
from apiserver.fairness import gate
from apiserver.fairness.places import Places
from apiserver.fairness.sessions import Sessions
from apiserver.maintenance import bootstrap
from apiserver.maintenance.customkinds import CustomKinds
from apiserver.maintenance.upkeep import Upkeep
from apiserver.routes import Match, Routes, table
from apiserver.settings import Settings
from apiserver.state.items import Item
from apiserver.state.keys import key_of
from apiserver.state.mirror import Mirror
from apiserver.state.room import Room
from apiserver.state.statuses import forbidden, response_of
from apiserver.state.transact import Transactions
from apiserver.state.watching import WatchRegistry
from apiserver.storage.store import Store
from apiserver.strategies.registry import STRATEGIES, Strategies
from apiserver.verbs.read import seats_for, selection_for
from apiserver.views.registry import VIEWS
from apiserver.wire import bodies, parameters
from apiserver.wire.forms import indented, noted
from cubernetes.api.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    InternalError,
    Timeout,
    Unauthorized,
)
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.web.messages import (
    ANONYMOUS,
    Identity,
    Malformed,
    Request,
    Response,
    Unread,
)
from cubernetes.reconcile.readings import SampleStore

# The code that other servers write for it too; no client ever sees it.
CLIENT_GONE = 499
# What the names of the headers begin with that ask to act as another (Impersonate-User).
IMPERSONATE = "impersonate-"

log = Log(__name__)


class ApiServer:
    """Answers requests over a store. `start` loads the store and returns once it can serve."""

    def __init__(  # noqa: PLR0913  each is a part of the world that tests put another in place of
        self,
        store: Store,
        env: Env,
        settings: Settings,
        *,
        logs: KubeletLogs | None = None,
        signer: Signer | None = None,
        samples: SampleStore | None = None,
        accounts: TokenKeys | None = None,
        jobs: JobOutputs | None = None,
        kinds: Kinds = KINDS,
    ) -> None:
        limits = settings.limits
        mirror = Mirror(store, env.clock, kinds, limits.events_max, VIEWS)
        self.watchers = WatchRegistry(
            mirror,
            env,
            per_user_max=limits.watches_per_user_max,
            bookmark_interval_s=limits.bookmark_interval_s,
        )
        transactions = Transactions(store, mirror, env)
        self._audit = Audit()
        sessions = Sessions(
            env.metrics,
            env.clock,
            self._audit.tell_session,
            all_max=limits.exec_sessions_max,
            per_user_max=limits.exec_sessions_per_user_max,
        )
        room = Room(limits)
        proxied = Places("proxied requests", limits.proxied_per_user_max, limits.proxied_max)
        self.backend = Backend(
            store, mirror, transactions, self.watchers, env, settings, room, sessions, proxied,
            logs, signer, samples, accounts, jobs,
        )  # fmt: skip
        self._request_ids = requestids.RequestIds(env.rng.uuid())
        self._kinds, self._strategies = kinds, STRATEGIES
        self._documents: Shelf = {}
        self._routes = Routes(table(kinds, shelf=self._documents))
        self._named = NamedObjects(mirror.kinds)
        self._authenticator = Authenticator(self.backend)
        self._seats, self._bodies = gate.seats(limits), gate.bodies(limits)
        self._counts = Counts(env.metrics, mirror, self.watchers)
        self._counts.in_flight.set_function(lambda: self.seats_held)
        self._counts.waiting.set_function(lambda: self.waiting_count)
        self._counts.body_bytes.set_function(lambda: self.bodies_bytes)
        self._counts.proxied.set_function(lambda: self.backend.proxied.count)
        self.upkeep = Upkeep(self.backend)
        self._custom = CustomKinds(self.backend, self._serve)
        self._keeping: list[asyncio.Task[None]] = []

    @property
    def waiting_count(self) -> int:
        """How many requests wait for a seat, or for room for their bodies."""
        return self._seats.waiting_count + self._bodies.waiting_count

    @property
    def seats_held(self) -> int:
        """How many seats requests hold that are under way."""
        return self._seats.held_units

    @property
    def bodies_bytes(self) -> int:
        """How many bytes the bodies that are in memory, or coming, may have altogether."""
        return self._bodies.held_units

    def replace(self, kinds: Kinds, strategies: Strategies = STRATEGIES) -> None:
        """Serve these kinds from now on, and custom ones: routes, documents, memory and counts.

        strategies: what they ask for beyond the verbs; the others have the answers of most kinds.

        Raises: KindReserved, SubresourceUnknown: then nothing is changed.
        """
        before = self._kinds, self._strategies
        self._kinds, self._strategies = kinds, strategies
        try:
            self._serve(self._custom.kinds)
        except Exception:
            self._kinds, self._strategies = before
            raise
        self._custom.wake()

    def _serve(self, custom: Sequence[type[Object]]) -> None:
        kinds = Kinds(*self._kinds, *custom)
        routes = Routes(table(kinds, self._strategies, self._documents))
        self.backend.mirror.replace(kinds)
        self._routes = routes
        self._counts.count_kinds(self.backend.mirror)
        log.info("kinds replaced", kind_count=len(kinds))

    async def start(self) -> None:
        await self.backend.mirror.start()
        self._custom.serve()
        self.watchers.start()
        await bootstrap.ensure(self.backend)
        works = (
            ("bootstrap", partial(bootstrap.keep, self.backend)),
            ("upkeep", self.upkeep.run),
            ("custom kinds", self._custom.run),
        )
        env = self.backend.env
        self._keeping = [asyncio.create_task(supervised(name, work, env)) for name, work in works]

    async def stop(self) -> None:
        """End sessions and watches; requests under way finish or fail by the store's deadlines."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self.backend.sessions.close()
        await self.watchers.stop()
        await self.backend.mirror.stop()

    async def handle(self, request: Request) -> Response:
        """Answer a request. Never raises but for cancellation: the answer tells of every error."""
        async with self.answering(request) as response:
            return response

    @asynccontextmanager
    async def answering(
        self, request: Request, unread: Unread | None = None
    ) -> AsyncIterator[Response]:
        """Answer a request, for as long as the answer is being sent; raises as handle does.

        unread is a body that has not come yet; without it the request has its body already.
        """
        begun_at = self.backend.env.clock.monotonic()
        trace = Trace(self._request_ids.id_of(request))
        record = AuditRecord(
            request.identity.user, request.method, address=request.address, trace=trace
        )
        # What the audit says where nobody waits for the answer any more.
        code = CLIENT_GONE
        with ExitStack() as places:
            try:
                response = await self._told(request, unread, record, places)
                if parameters.is_pretty(request.query):
                    response = indented(response)
                response = noted(request.headers.get("accept", ""), response)
                if trace.request_id:
                    headers = {**response.headers, requestids.HEADER: trace.request_id}
                    response = replace(response, headers=headers)
                code = response.status
            finally:
                self._tell(request.path, record, code, begun_at)
            if not isinstance(response.body, bytes) or response.switch is not None:
                # A stream has its place among its user's watches or sessions, not among requests.
                places.close()
            yield response

    async def turn(self, request: Request) -> None:
        """Wait for a turn to go on with a long answer."""
        await self.backend.mirror.waking.turn(gate.flow_of(request))

    def refused(self, request: Request, error: Malformed) -> Response:
        """Answer what did not become a request."""
        refusal = BadRequest(str(error))
        record = AuditRecord("", request.method, why=refusal.message, address=request.address)
        self._tell(request.path, record, refusal.code, self.backend.env.clock.monotonic())
        return response_of(refusal)

    def _tell(self, path: str, record: AuditRecord, code: int, begun_at: float) -> None:
        now = self.backend.env.clock.monotonic()
        self._counts.answered(record.counted_verb, record.resource, code, now - begun_at)
        self._audit.tell(record, path, code, round((now - begun_at) * 1000, 1), now)

    async def _told(
        self, request: Request, unread: Unread | None, record: AuditRecord, places: ExitStack
    ) -> Response:
        """Return the answer, whatever went wrong on the way to it."""
        try:
            match = self._routes.match(request.method, request.path)
            record.matched(match.route)
            most_s = self.backend.settings.limits.request_deadline_s
            async with asyncio.timeout(None if match.route.is_relayed else most_s):
                return await self._answer(request, match, unread, record, places)
        except TimeoutError:
            record.why = "the deadline passed; a write may have happened: read again"
            return response_of(Timeout(record.why))
        except ApiError as error:
            record.why = error.message
            return response_of(error)
        except Exception as error:  # noqa: BLE001  the last place that can answer
            log.bug("request failed", error, method=request.method, path=request.path)
            return response_of(InternalError("an error of the server; the outcome is unknown"))

    async def _answer(
        self,
        request: Request,
        match: Match,
        unread: Unread | None,
        record: AuditRecord,
        places: ExitStack,
    ) -> Response:
        route, namespace, name = match
        if route.policy is Policy.OPEN:
            refuse_impersonation(request)
            parameters.check(request.query, route.checks)
            return await route.handler(self.backend, Call(request, route, request.identity))
        check_loaded(self.backend)
        identity = await self._identified(request)
        record.user = identity.user
        if is_account(identity):
            # Known from here on: its turns are those of a user, not of a stranger's address.
            request = replace(request, identity=identity)
        refuse_impersonation(request)
        await check_member(self.backend, identity)
        call = Call(request, route, identity, namespace, name, record.trace)
        record.verb = _verb(call)
        if route.policy is Policy.ROLE:
            await self._check_may(call, record.verb)
        if route.is_relayed:
            return await route.handler(self.backend, replace(call, unread=unread))
        parameters.check(request.query, route.checks)
        most_s = self.backend.settings.limits.request_deadline_s
        own_s = parameters.deadline_s(request.query, route.checks, most_s)
        if own_s >= most_s:
            # The deadline of every request is there already.
            return await self._carried_out(call, unread, places)
        async with asyncio.timeout(own_s):
            return await self._carried_out(call, unread, places)

    async def _carried_out(self, call: Call, unread: Unread | None, places: ExitStack) -> Response:
        """Take the body, wait for a place, and let the handler answer."""
        request, bytes_max = call.request, self.backend.settings.limits.body_bytes_max
        body_bytes = unread.bytes_max if unread else len(request.body)
        bodies.check_head(request, body_bytes, bytes_max)
        flow = gate.flow_of(request)
        if body_bytes:
            held = await self._bodies.enter(*flow, body_bytes)
            places.callback(self._bodies.leave, held)
        if unread is not None:
            body = await bodies.read(unread)
            call = replace(call, request=replace(request, body=body))
        seats = seats_for(self.backend, call)
        seat = await self._seats.enter(*flow, seats)
        places.callback(self._seats.leave, seat)
        response = await call.route.handler(self.backend, call)
        response = bodies.warned(response, call.trace.warnings)
        return bodies.deprecated(response, call.route.kind)

    async def _identified(self, request: Request) -> Identity:
        if request.identity != ANONYMOUS:
            return request.identity
        identity = None
        if "authorization" in request.headers:
            async with self._seats.place(*gate.flow_of(request), 1):
                identity = await self._authenticator.identity_of(request)
        if identity is None:
            raise Unauthorized("who asks is not known: show a client certificate or a token")
        return identity

    async def _check_may(self, call: Call, verb: str) -> None:
        attempt, access = _attempt(call, verb), call.route.strategy
        one, is_named = None, False
        if access is not None and needs_object(call.identity, attempt, access):
            one = await self._object(call)
        if access is not None and needs_name(call.identity, access):
            is_named = await self._is_named(call, attempt)
        refusal = may(call.identity, attempt, access, one, is_named=is_named)
        if refusal and not await is_granted(
            self.backend, call.identity, attempt, call.request.path
        ):
            raise forbidden(attempt.resource, call.name, refusal)

    async def _is_named(self, call: Call, attempt: Attempt) -> bool:
        """Whether the object is named for the reader; what was just written is waited for."""
        kind, reader = call.kind.resource.kind, reader_of(call.identity)
        asked = (reader, attempt.namespace, kind, attempt.name)
        if not self._named.has(*asked):
            await self.backend.caught_up()
        return self._named.has(*asked)

    async def _object(self, call: Call) -> Object | None:
        """Return the object that a node asks about; memory may be old where it has no node."""
        key = key_of(call.kind, call.namespace, call.name)
        item: Item | None = self.backend.mirror.item(key)
        if item is None or not call.strategy.node_of(item.object):
            await self.backend.caught_up()
            item = self.backend.mirror.item(key)
        return item.object if item is not None else None


def refuse_impersonation(request: Request) -> None:
    """Refuse to act as the caller where he asked to act as another.

    Raises: Forbidden.
    """
    asked = next((name for name in request.headers if name.startswith(IMPERSONATE)), None)
    if asked is not None:
        title = "-".join(part.capitalize() for part in asked[:80].split("-"))
        raise Forbidden(f"the header {title} is not taken: nobody can act as another here")


def _verb(call: Call) -> str:
    is_watch = call.route.verb == "list" and call.is_set("watch")
    return "watch" if is_watch else call.route.verb


def _attempt(call: Call, verb: str) -> Attempt:
    route = call.route
    if route.kind is None:
        return Attempt(verb, OWN_GROUP, route.resource, name=call.name)
    resource = route.kind.resource
    attempt = Attempt(
        verb, resource.group, resource.plural, route.subresource, call.namespace, call.name
    )
    if call.strategy.node_field and route.verb == "list":
        return attempt._replace(node=selection_for(call).required(call.strategy.node_field))
    if call.strategy.is_read_where_named and route.verb == "list":
        return attempt._replace(name=selection_for(call).required("metadata.name"))
    return attempt
