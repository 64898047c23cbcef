"""The verbs that write one object: create, update, patch, and status; each is one transaction."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any, cast

from apiserver.auth.authorize import Attempt, may
from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.enrolment.granted import is_granted_now
from apiserver.state.items import Item, Seen, encoded, stored, value_of, versioned
from apiserver.state.keys import key_of
from apiserver.state.preconditions import Precondition, check_all
from apiserver.state.room import SERVER, Write
from apiserver.state.statuses import MODIFIED_SINCE, absent, conflict, exists, forbidden
from apiserver.state.transact import Decision, Done
from apiserver.storage.store import Delete, Op, Put
from apiserver.strategies import metadata as stamps
from apiserver.strategies.admission.quotas import charged, keys_of_quotas
from apiserver.strategies.metadata import Stamp
from apiserver.strategies.registry import (
    creation_preconditions,
    object_refusal,
    write_preconditions,
)
from apiserver.strategies.strategy import Claimed, Draw, Exhausted, Strategy, Unread
from apiserver.verbs import ownership
from apiserver.wire.bodies import changed_to, object_in, warning_header
from apiserver.wire.patches import patch_in
from cubernetes.api.coding import codec
from cubernetes.api.coding.refusals import found, invalid
from cubernetes.api.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    Problem,
    RequestTooLarge,
)
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Identity, Response

# How many names are tried for generateName before the client is told to try again.
GENERATED_NAMES_MAX = 8
# How often others may get what was found free for a new object.
ALLOCATIONS_MAX = 16

type Answer = Callable[[int], Item]  # from the revision of the write, 0 for none
type ChangeTo = Callable[[Object], Object]
# What a write makes of an object: from the call, what is sent, and what stands.
type MadeOf = Callable[[Call, Object, Object], Object]


async def create(backend: Backend, call: Call) -> Response:
    reading = object_in(call)
    item = await create_object(backend, call, reading.model)
    return Response(201, item.content, warning_header(reading.warnings))


async def create_object(backend: Backend, call: Call, one: Object) -> Item:
    """Create an object; for a generated name, try others as long as they are taken."""
    if one.metadata.resource_version:
        raise BadRequest("metadata.resourceVersion: must not be set on objects to be created")
    _check_namespace(call, one.metadata.namespace)
    attempts = 1 if one.metadata.name else GENERATED_NAMES_MAX
    for attempt in range(1, attempts + 1):
        try:
            return await _create_named(backend, call, one, _name_for(backend, one))
        except AlreadyExists:
            if attempt == attempts:
                raise
    raise AssertionError("every attempt returns or raises")


async def update(backend: Backend, call: Call) -> Response:
    """Replace an object; of the kinds that say so, one that is absent is created."""
    reading = object_in(call)
    check_address(call, reading.model.metadata.name, reading.model.metadata.namespace)
    change = partial(replacement, call, reading.model)
    try:
        return await modify(backend, call, change, warnings=reading.warnings)
    except NotFound:
        meta = reading.model.metadata
        # A client that states a revision means that state, and no other.
        if not call.kind.resource.is_created_by_put or meta.resource_version or meta.uid:
            raise
    check_may_create(backend, call)
    named = replaced(reading.model, metadata=replaced(reading.model.metadata, name=call.name))
    item = await create_object(backend, call, named)
    return Response(201, item.content, warning_header(reading.warnings))


def check_address(call: Call, name: str, namespace: str) -> None:
    """Refuse an object that is not where the path says.

    Raises: BadRequest.
    """
    if name and name != call.name:
        told = f"the name of the object ({name[:253]}) does not match the name on the URL"
        raise BadRequest(f"{told} ({call.name})")
    _check_namespace(call, namespace)


def check_may_create(backend: Backend, call: Call) -> None:
    resource = call.kind.resource
    attempt = Attempt("create", resource.group, resource.plural, "", call.namespace, call.name)
    refusal = may(call.identity, attempt, call.strategy)
    if refusal and not is_granted_now(backend, call.identity, attempt):
        raise forbidden(resource.plural, call.name, refusal)


async def update_status(backend: Backend, call: Call) -> Response:
    return await update_by(backend, call, status_replacement)


async def update_by(backend: Backend, call: Call, made_of: MadeOf) -> Response:
    """Replace a part of an object by that of the one that is sent."""
    reading = object_in(call)
    change = partial(made_of, call, reading.model)
    return await modify(backend, call, change, warnings=reading.warnings)


async def patch(backend: Backend, call: Call) -> Response:
    return await patch_by(backend, call, replacement)


async def patch_by(backend: Backend, call: Call, made_of: MadeOf) -> Response:
    asked = patch_in(call)
    warnings: list[str] = []

    def change(old: Object) -> Object:
        reading = changed_to(call, asked.change(old))
        warnings[:] = (*asked.warnings, *reading.warnings)
        return made_of(call, reading.model, old)

    response = await modify(backend, call, change)
    return Response(response.status, response.body, warning_header(tuple(warnings)))


async def modify(
    backend: Backend,
    call: Call,
    change: ChangeTo,
    *,
    preconditions: tuple[Precondition, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Response:
    """Change the object that the call names; answer with what then stands there."""
    item = await modified(backend, call, change, preconditions=preconditions)
    return Response(200, item.content, warning_header(warnings))


async def modified(
    backend: Backend,
    call: Call,
    change: ChangeTo,
    *,
    preconditions: tuple[Precondition, ...] = (),
    is_lawful: bool = False,
) -> Item:
    """Change the object that the call names, as one transaction; no change is no write.

    is_lawful: the change breaks no rule of the kind, whatever stood before: none is asked.
    """
    kind, key = call.kind, key_of(call.kind, call.namespace, call.name)
    strategy = call.strategy
    preconditions = (*preconditions, *write_preconditions(call.request))
    draw = Draw(backend.fraction(), {})

    def decide(seen: Seen) -> Decision[Answer]:
        check_all(preconditions, seen)
        found = seen[key]
        if not isinstance(found, Item):
            raise absent(kind.resource, call.name)
        found = found.of_version(kind)
        call.trace.about(found.object)
        new = stamps.with_next_generation(found.object, change(found.object))
        check_allowed(call, found.object, new)
        strategy.check_change(backend, call.identity, found.object, new, seen)
        if not is_lawful:
            _check_rules(found.object, new, call.route.subresource)
            _heed(backend, call, found.object, new, seen)
        new, beside = strategy.changed(backend, found.object, new, seen, draw)
        new = ownership.noted(call, found.object, new, backend.env.clock.now())
        value = encoded(new)
        if value == value_of(found):
            return Decision((), lambda _: found)
        if strategy.is_charged_as_it_changes:
            beside = (*beside, *_charges_of_change(backend, found.object, new, seen))
        _check_size(value, backend)
        answer = partial(_item, kind, key, value, found.revision)
        if is_over(new, strategy):
            # The claims that stand are those of the object that stands.
            return Decision(removal(found.object, strategy), answer)
        check_room(backend, call, new, found, value)
        return Decision((Put(key, value), *beside), answer)

    keys = (key, *(one.key for one in preconditions), *strategy.keys_beside(call.name))
    done = await _decided(backend, call, keys, decide, draw)
    note_written(backend, call.identity, done.put_bytes)
    return done.answer(done.revision)


async def _decided(
    backend: Backend,
    call: Call,
    keys: tuple[str, ...],
    decide: Callable[[Seen], Decision[Answer]],
    draw: Draw,
) -> Done[Answer]:
    """Carry out a change; what it turns out to claim is read in the same transaction."""
    claims: tuple[str, ...] = ()
    is_fresh = False
    for _ in range(ALLOCATIONS_MAX):
        try:
            run = backend.transactions.run
            return await run([*keys, *claims], decide, is_dry=call.is_dry)
        except Unread as unread:
            claims = tuple(dict.fromkeys((*claims, *unread.keys)))
        except Claimed as claimed:
            draw.taken[claimed.key] = claimed.holder
        except Exhausted:
            if is_fresh:
                raise
            await backend.caught_up()
            is_fresh = True
    raise Conflict(f"others took what was found free, {ALLOCATIONS_MAX} times; please try again")


def check_room(backend: Backend, call: Call, new: Object, found: Item | None, value: bytes) -> None:
    """Refuse a write for which there is no room, or none for this writer.

    Raises: what Room.check raises.
    """
    if call.identity == SERVER:
        return
    status_bytes = 0
    if call.route.subresource == "status":
        status_bytes = len(codec.encode(cast(Any, new).status))
    old_bytes = len(value_of(found)) if found is not None else 0
    vital_bytes_max = call.strategy.vital_bytes_max(new.metadata.namespace)
    part = call.route.subresource
    write = Write(call.identity, vital_bytes_max, part, old_bytes, len(value), status_bytes)
    backend.room.check(write, backend.env.clock.monotonic())


def note_written(backend: Backend, identity: Identity, written_bytes: int) -> None:
    backend.room.noted(identity, written_bytes, backend.env.clock.monotonic())


def is_over(one: Object, strategy: Strategy[Any]) -> bool:
    """Its deletion was asked for, and nothing is left to wait for."""
    metadata = one.metadata
    waits = metadata.finalizers or metadata.deletion_grace_period_seconds
    return metadata.is_deleted and not waits and not strategy.is_held(one)


def removal(one: Object, strategy: Strategy[Any]) -> tuple[Op, ...]:
    """Return what removes an object, with the claims that it held."""
    key = key_of(type(one), one.metadata.namespace, one.metadata.name)
    return (Delete(key), *strategy.released(one))


def _item(kind: type[Object], key: str, value: bytes, revision_before: int, revision: int) -> Item:
    # A dry run wrote nothing: it shows what would be, at the revision that is.
    at = revision or revision_before
    return stored(kind, key, value, at) if at else Item(kind, key, 0, versioned(kind, value))


def _check_namespace(call: Call, stated: str) -> None:
    if stated and stated != call.namespace:
        message = (
            f"metadata.namespace: the namespace of the object ({stated[:80]}) does not match "
            f"that of the request ({call.namespace})"
        )
        raise BadRequest(message)


def _name_for(backend: Backend, one: Object) -> str:
    if one.metadata.name or not one.metadata.generate_name:
        return one.metadata.name
    letters = backend.env.rng.chars(stamps.GENERATED_CHARS)
    return stamps.generated_name(one.metadata.generate_name, letters)


async def _create_named(backend: Backend, call: Call, one: Object, name: str) -> Item:
    stamp = Stamp(name, call.namespace, backend.env.rng.uuid(), backend.env.clock.now())
    strategy = call.strategy
    new: Object = strategy.prepared(stamps.with_initial_metadata(one, stamp).defaulted())
    if problems := found(chain(new.problems(), strategy.creation_problems(new))):
        title = call.kind.resource.qualified_kind
        raise invalid(title, name or one.metadata.generate_name, problems, new)
    check_allowed(call, None, new)
    preconditions = creation_preconditions(call.request, call.namespace)
    taken: dict[str, str] = {}
    for _ in range(ALLOCATIONS_MAX):
        allocated = await strategy.allocated(backend, new, taken)
        try:
            return await _put_new(backend, call, allocated, preconditions)
        except Claimed as claimed:
            taken[claimed.key], lost = claimed.holder, claimed
    raise lost


async def _put_new(
    backend: Backend, call: Call, new: Object, preconditions: tuple[Precondition, ...]
) -> Item:
    key, strategy = key_of(call.kind, call.namespace, new.metadata.name), call.strategy
    plain = encoded(new)
    _check_size(plain, backend)

    def decide(seen: Seen) -> Decision[Answer]:
        check_all(preconditions, seen)
        if seen[key] is not None:
            raise exists(call.kind.resource, new.metadata.name)
        _heed(backend, call, None, new, seen)
        made, beside = strategy.creation(backend, call.identity, new, seen)
        value = plain if made is new else encoded(made)
        check_room(backend, call, made, None, value)
        costs = charged(quotas, seen, made)
        ops = (Put(key, value), *beside, *costs)
        return Decision(ops, partial(_item, call.kind, key, value, 0))

    beside = strategy.keys_beside(new.metadata.name, new)
    # The quotas' keys come first: there the writers of a namespace take turns.
    quotas = keys_of_quotas(backend, new)
    keys = [*quotas, key, *(one.key for one in preconditions), *beside]
    done = await backend.transactions.run(keys, decide, is_dry=call.is_dry)
    note_written(backend, call.identity, done.put_bytes)
    call.trace.about(new)
    return done.answer(done.revision)


def _charges_of_change(backend: Backend, old: Object, new: Object, seen: Seen) -> list[Op]:
    """Return what a change costs quotas. Raises: Forbidden; Unread: they are to be seen too."""
    keys = keys_of_quotas(backend, new, old)
    if any(key not in seen for key in keys):
        raise Unread(keys)
    return charged(keys, seen, new, old)


def replacement(call: Call, new: Object, old: Object) -> Object:
    """Return what a write of the main resource makes of old: all but what is the server's."""
    check_seen(call, new, old)
    strategy = call.strategy
    made: Object = strategy.updated(old, stamps.with_server_fields(old, new)).defaulted()
    if problems := found(strategy.update_problems(old, made)):
        raise invalid(new.resource.qualified_kind, call.name, problems, made)
    return made


def status_replacement(call: Call, new: Object, old: Object) -> Object:
    """Return old with the status of new: nothing else is written through /status."""
    check_seen(call, new, old)
    kept = replaced(old, metadata=replaced(old.metadata, resource_version=""))
    made: Object = call.strategy.with_status_of(kept, new)
    return made


def check_seen(call: Call, new: Object, old: Object) -> None:
    """Refuse a write by someone who saw another revision, or means another incarnation.

    Raises: BadRequest, Conflict.
    """
    seen = stamps.revision_of(new.metadata)
    if seen is not None and str(seen) != old.metadata.resource_version:
        raise conflict(call.kind.resource, call.name, MODIFIED_SINCE)
    if new.metadata.uid not in ("", old.metadata.uid):
        why = "Precondition failed: UID in precondition: {}, UID in object meta: {}"
        told = why.format(new.metadata.uid[:253], old.metadata.uid)
        raise conflict(call.kind.resource, call.name, told)


def _check_rules(old: Object, new: Object, subresource: str) -> None:
    """Refuse what breaks a rule of its kind.

    A status is judged alone, as Kubernetes does: nobody can mend through it a spec that stood
    before its rule came.

    Raises: Invalid.
    """
    wrong: Iterable[Problem]
    if subresource == "status":
        wrong = new.status_problems(old)
    else:
        wrong = chain(
            stamps.metadata_problems(old.metadata, new.metadata),
            new.problems(),
            new.update_problems(old),
        )
    if problems := found(wrong):
        raise invalid(new.resource.qualified_kind, old.metadata.name, problems, new)


def check_allowed(call: Call, old: Object | None, new: Object) -> None:
    """Refuse what the caller may not do to this very object.

    Raises: Forbidden.
    """
    refusal = object_refusal(call.strategy, call.identity, call.route.subresource, old, new)
    if refusal:
        raise Forbidden(refusal, kind=call.kind.resource.plural, name=new.metadata.name)


def _heed(backend: Backend, call: Call, old: Object | None, new: Object, seen: Seen) -> None:
    """Refuse what the rules of a namespace do not allow; note what its client and the audit hear.

    Raises: Forbidden.
    """
    verdict = call.strategy.verdict(backend, call.route.subresource, old, new, seen)
    call.trace.warnings, call.trace.notes = verdict.warnings, verdict.notes
    if verdict.refusal:
        plural, name = call.kind.resource.plural, new.metadata.name
        told = f'{plural} "{name}" is forbidden: {verdict.refusal}'
        raise Forbidden(told, kind=plural, name=name)


def _check_size(value: bytes, backend: Backend) -> None:
    limit = backend.settings.limits.object_bytes_max
    if len(value) > limit:
        raise RequestTooLarge(f"the object has {len(value)} bytes, at most {limit}")
