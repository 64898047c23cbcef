"""The verbs that change nothing: get, list and watch, all served from memory.

resourceVersion follows Kubernetes: unset is the newest (the store is asked for its revision, and
the mirror must have reached it), "0" is whatever is at hand, a number is not older than that.
"""

from functools import partial
from typing import cast

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.enrolment.membership import is_unwelcome
from apiserver.fairness.gate import flow_of
from apiserver.state.items import Item, item_of
from apiserver.state.keys import key_of, prefix_of
from apiserver.state.selection import Selection, selection_of
from apiserver.state.statuses import absent, error_from
from apiserver.state.watchcache import FellBehind, event_line
from apiserver.state.watching import WatchStream
from apiserver.storage.store import Compacted, FutureRevision, StoreError
from apiserver.wire.forms import Accepted, Form, accepted, metadata_only, table, whole
from apiserver.wire.pages import Position, place_of, token_of
from apiserver.wire.tables import Included
from cubernetes.api.bodies.envelopes import ListMeta
from cubernetes.api.coding.codec import encode
from cubernetes.api.errors import AHEAD, BadRequest, Gone, NotAcceptable, Problem, Timeout
from cubernetes.host.web.messages import Response

REVISION_MAX = 2**63 - 1
REVISION_CHARS_MAX = 19
LIMIT_MAX = 1_000_000
# So many objects of a list are as much work as one request of another kind.
OBJECTS_PER_SEAT = 100
# How many entries one read of an old page takes from the store.
OLD_PAGE_ENTRIES = 500
TOO_OLD = "the continue token or revision is too old: list again from the beginning"
# Parameters that a watch cannot obey.
OF_LISTS = ("limit", "continue", "resourceVersionMatch")


def seats_for(backend: Backend, call: Call) -> int:
    """Return how many requests a call counts for: a long list is the work of many.

    Raises: BadRequest: limit is no number.
    """
    kind = call.route.kind
    if kind is None or call.route.verb != "list" or not backend.mirror.holds(kind):
        return 1
    # A watch from a revision shows no list first; from "0" it does.
    if call.is_set("watch") and call.request.parameter("resourceVersion") not in ("", "0"):
        return 1
    count = backend.mirror.cache_of(call.kind).count(prefix_of(call.kind, call.namespace))
    limit = call.number("limit", 0, LIMIT_MAX)
    return 1 + min(count, limit or count) // OBJECTS_PER_SEAT


async def get(backend: Backend, call: Call) -> Response:
    form = form_for(backend, call)
    await _reach(backend, revision_in(call))
    item = backend.mirror.item(key_of(call.kind, call.namespace, call.name))
    if item is None:
        raise absent(call.kind.resource, call.name)
    return Response(200, form.item(item))


async def list_or_watch(backend: Backend, call: Call) -> Response:
    if call.request.query and call.is_set("watch"):
        return await watch(backend, call)
    return await list_(backend, call)


async def list_(backend: Backend, call: Call) -> Response:
    selection = selection_for(call)
    form, asked = form_for(backend, call), revision_in(call)
    limit = call.number("limit", 0, LIMIT_MAX)
    if token := call.request.parameter("continue"):
        for name, is_given in (
            ("resourceVersion", asked),
            ("resourceVersionMatch", call.request.parameter("resourceVersionMatch")),
        ):
            if is_given:
                raise BadRequest(f"{name}: not together with continue")
        place = place_of(token, selection.prefix)
        items, is_all = await _page(backend, selection, place, limit)
        revision = place.revision
    elif _is_exact(call, asked, limit):
        revision = asked or 0
        await _reach(backend, revision)
        items, is_all = await _page(backend, selection, Position(revision, ""), limit)
    else:
        await _reach(backend, asked)
        revision = backend.mirror.revision
        items, is_all = backend.mirror.cache_of(call.kind).chosen(selection), True
    more = bool(limit) and len(items) > limit
    remaining = len(items) - limit if more and is_all and selection.is_whole else None
    items = items[:limit] if more else items
    token = token_of(Position(revision, items[-1].key)) if more else ""
    meta = encode(
        ListMeta(resource_version=str(revision), continue_=token, remaining_item_count=remaining)
    )
    return Response(200, form.listing(items, meta))


async def watch(backend: Backend, call: Call) -> Response:
    for name in OF_LISTS:
        if call.request.parameter(name) not in ("", "0"):
            raise BadRequest(f"{name}: is for lists, not together with watch")
    selection, asked = selection_for(call), revision_in(call)
    limits = backend.settings.limits
    timeout_s = call.number("timeoutSeconds", limits.watch_timeout_s, limits.watch_timeout_s_max)
    form = form_for(backend, call)
    if _accepted(call).notation != "json":
        raise NotAcceptable("a watch is served as application/json only")
    wants_bookmarks = call.is_set("allowWatchBookmarks")
    await _reach(backend, asked)
    # From here to the open stream nothing waits: nobody else can take the last place meanwhile.
    backend.watchers.check_room(call.identity.user)
    cache = backend.mirror.cache_of(call.kind)
    first, whose = b"", flow_of(call.request)
    if asked:
        try:
            place = cache.watch(selection, asked, whose)
        except FellBehind as error:
            raise Gone(f"too old resource version: {asked} ({cache.floor})") from error
    else:
        first = b"".join(event_line("ADDED", form.item(item)) for item in cache.chosen(selection))
        place = cache.watch(selection, None, whose)
    # timeoutSeconds=0 is what clients send that want none of their own.
    ends_at = backend.env.clock.monotonic() + (timeout_s or limits.watch_timeout_s)
    watcher = WatchStream(
        place,
        user=call.identity.user,
        form=form.name,
        show=form.item,
        first=first,
        ends_at=ends_at,
        bookmark=form.bookmark if wants_bookmarks else None,
        is_unwelcome=partial(is_unwelcome, backend, call.identity),
    )
    return Response(200, backend.watchers.stream(watcher))


async def reach(backend: Backend, call: Call) -> None:
    """Make the mirror as new as the call's resourceVersion says.

    Raises: BadRequest, Timeout, ServiceUnavailable.
    """
    await _reach(backend, revision_in(call))


def selection_for(call: Call) -> Selection:
    query = call.request.parameter
    return selection_of(call.kind, call.namespace, query("labelSelector"), query("fieldSelector"))


def _is_exact(call: Call, asked: int | None, limit: int) -> bool:
    match call.request.parameter("resourceVersionMatch"):
        case "":
            # As Kubernetes: a first page at a stated revision is of exactly that revision.
            return bool(limit) and bool(asked)
        case _ if asked is None:
            raise BadRequest("resourceVersionMatch: needs a resourceVersion")
        case "NotOlderThan":
            return False
        case "Exact":
            if asked == 0:
                raise BadRequest('resourceVersionMatch: Exact needs a resourceVersion above "0"')
            return True
        case _:
            raise BadRequest("resourceVersionMatch: must be Exact or NotOlderThan")


def revision_in(call: Call) -> int | None:
    """Return the revision that is asked for; None is the newest."""
    text = call.request.parameter("resourceVersion")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise BadRequest(f"resourceVersion: {text[:40]!r} is not a resource version")
    if len(text) > REVISION_CHARS_MAX or int(text) > REVISION_MAX:
        raise _too_large(text[:40])
    return int(text)


async def _reach(backend: Backend, asked: int | None) -> None:
    """Make the mirror as new as the call must see it.

    Raises: Timeout, ServiceUnavailable.
    """
    if asked is None:
        await backend.caught_up()
        return
    try:
        await backend.mirror.reach(asked, backend.settings.limits.freshness_deadline_s)
    except Timeout as error:
        raise _too_large(f"{asked}, current: {backend.mirror.revision}") from error


def _too_large(told: str) -> Timeout:
    cause = Problem("resourceVersion", "Too large resource version", AHEAD)
    message = f"Timeout: Too large resource version: {told}"
    return Timeout(message, problems=[cause], retry_after_s=1)


async def _page(
    backend: Backend, selection: Selection, place: Position, limit: int
) -> tuple[list[Item], bool]:
    """Return the items behind a place, at its revision, and whether that is all of them.

    Where it is not, there is at least one more than limit.

    Raises: Gone: the revision is no longer kept.
    """
    cache = backend.mirror.cache_of(selection.kind)
    if cache.changed_at <= place.revision <= backend.mirror.revision:
        return cache.chosen(selection, place.after), True
    if not backend.mirror.is_stored(selection.kind):
        # Objects of a view are nowhere but here, and so is what they were.
        if place.revision > backend.mirror.revision:
            raise Gone(TOO_OLD)
        try:
            return cache.chosen_at(selection, place.revision, place.after), True
        except FellBehind as error:
            raise Gone(TOO_OLD) from error
    return await _old_page(backend, selection, place, limit)


async def _old_page(
    backend: Backend, selection: Selection, place: Position, limit: int
) -> tuple[list[Item], bool]:
    found: list[Item] = []
    after = place.after
    while not limit or len(found) <= limit:
        try:
            page = await backend.store.list(
                selection.prefix, revision=place.revision, limit=OLD_PAGE_ENTRIES, after=after
            )
        except Compacted as error:
            raise Gone(TOO_OLD) from error
        except FutureRevision as error:
            raise _too_large(str(place.revision)) from error
        except StoreError as trouble:
            raise error_from(trouble) from trouble
        stored = selection.kind.stored_as or selection.kind
        items = (item_of(stored, entry) for entry in page.entries)
        found += [item for item in items if selection.matches(item)]
        if not page.more:
            return found, True
        after = page.entries[-1].key
    return found, False


def _included(call: Call) -> Included:
    asked = call.request.parameter("includeObject") or "Metadata"
    if asked not in ("None", "Metadata", "Object"):
        raise BadRequest("includeObject: must be None, Metadata or Object")
    return cast(Included, asked)


def _accepted(call: Call) -> Accepted:
    """Return the form in which the client wants to be shown objects.

    Raises: NotAcceptable.
    """
    return accepted(call.request.headers.get("accept", ""))


def form_for(backend: Backend, call: Call) -> Form:
    """Return how objects are shown to this caller.

    Raises: NotAcceptable; BadRequest: includeObject is none of the known.
    """
    match _accepted(call).shape:
        case "whole":
            return whole(call.kind)
        case "metadata":
            return metadata_only(call.kind)
        case "table":
            return table(call.kind, backend.env.clock.now, _included(call))
