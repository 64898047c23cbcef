"""Deletion: preconditions, grace for pods, finalizers, and what is removed at once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.items import Item, Seen, departed, encoded, stored, value_of
from apiserver.state.keys import key_of
from apiserver.state.preconditions import check_all
from apiserver.state.statuses import absent, conflict, success
from apiserver.state.transact import Decision
from apiserver.storage.store import Put
from apiserver.strategies.metadata import to_the_second
from apiserver.strategies.registry import write_preconditions
from apiserver.strategies.strategy import Strategy
from apiserver.verbs.read import selection_for
from apiserver.verbs.write import Answer, check_allowed, is_over, note_written, removal
from apiserver.wire.bodies import model_in
from cubernetes.api.bodies.envelopes import DeleteOptions, Propagation, Status
from cubernetes.api.coding.codec import encode
from cubernetes.api.errors import BadRequest, Forbidden, NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.host.web.messages import Response

# The garbage controller strips the owner from its dependents, or sees them gone; then it removes
# the finalizer. Without one (Background) it finds the dependents ownerless, and deletes them.
POLICY_FINALIZERS: Mapping[Propagation, str] = {
    "Orphan": "orphan",
    "Foreground": "foregroundDeletion",
}
GRACE_S_MAX = 2**31 - 1


async def delete(backend: Backend, call: Call) -> Response:
    options = options_in(call)
    item, is_gone = await deleted(backend, call, options)
    if is_gone and not call.strategy.is_answered_with_object:
        return success(call.kind.resource, call.name, item.object.metadata.uid)
    return Response(200, item.content)


async def delete_collection(backend: Backend, call: Call) -> Response:
    """Delete what the selectors choose, one by one; what is gone meanwhile is fine."""
    options = options_in(call)
    if options.preconditions is not None:
        raise BadRequest("preconditions: are for a single object")
    selection = selection_for(call)
    await backend.caught_up()
    for item in backend.mirror.cache_of(call.kind).chosen(selection):
        one = item.object.metadata
        this = Call(call.request, call.route, call.identity, one.namespace, one.name)
        try:
            await deleted(backend, this, options, uid=one.uid)
        except NotFound:
            continue
    return Response(200, encode(Status(status="Success", code=200)))


async def deleted(
    backend: Backend, call: Call, options: DeleteOptions, *, uid: str = ""
) -> tuple[Item, bool]:
    """Ask for an object's deletion; return its last state, and whether it is gone.

    With uid, another incarnation counts as none: NotFound.
    """
    kind, key = call.kind, key_of(call.kind, call.namespace, call.name)
    strategy = call.strategy
    if why := strategy.deletion_refusal(call.name):
        plural = kind.resource.plural
        message = f'{plural} "{call.name}" is forbidden: {why}'
        raise Forbidden(message, kind=plural, name=call.name)
    preconditions = write_preconditions(call.request)
    now = to_the_second(backend.env.clock.now())

    def decide(seen: Seen) -> Decision[tuple[Answer, bool]]:
        check_all(preconditions, seen)
        found = seen[key]
        if not isinstance(found, Item) or uid not in ("", found.object.metadata.uid):
            raise absent(kind.resource, call.name)
        found = found.of_version(kind)
        return deletion_of(call, options, found, found.object, seen, now)

    keys = [key, *(one.key for one in preconditions), *strategy.keys_beside(call.name)]
    is_dry = call.is_dry or bool(options.dry_run)
    done = await backend.transactions.run(keys, decide, is_dry=is_dry)
    note_written(backend, call.identity, done.put_bytes)
    if strategy.is_deletion_awaited:
        deadline_s = backend.settings.limits.freshness_deadline_s
        await backend.mirror.reach(done.revision, deadline_s)
    answer, is_gone = done.answer
    return answer(done.revision), is_gone


def deletion_of(
    call: Call, options: DeleteOptions, found: Item, one: Object, seen: Seen, now: datetime
) -> Decision[tuple[Answer, bool]]:
    """Return what is written where the deletion of an object is asked for, and if it is then gone.

    one: the object as it is to be deleted, where more than its deletion is noted on it.

    Raises: ApiError: it may not be deleted, or is not as the options say.
    """
    strategy = call.strategy
    call.trace.about(one)
    check_allowed(call, found.object, one)
    _check_preconditions(call, options, one.metadata)
    going = dying(one, options, now, strategy)
    beside = strategy.deletion(call.identity, one, seen)
    if is_over(going, strategy):
        return Decision((*removal(going, strategy), *beside), (partial(_last, found), True))
    value = encoded(going)
    if value == value_of(found) and not beside:
        return Decision((), (lambda _: found, False))
    stamp = partial(_stored_or_same, call.kind, found.key, value, found)
    return Decision((Put(found.key, value), *beside), (stamp, False))


def _last(found: Item, revision: int) -> Item:
    return departed(found, revision) if revision else found


def _stored_or_same(kind: type[Object], key: str, value: bytes, found: Item, revision: int) -> Item:
    return stored(kind, key, value, revision or found.revision)


def dying(one: Object, options: DeleteOptions, now: datetime, strategy: Strategy[Any]) -> Object:
    """Return an object whose deletion has been asked for, once or again."""
    grace_s = strategy.grace_s(one, options.grace_period_seconds)
    metadata = _with_grace(one.metadata, grace_s, now)
    finalizers = finalizers_after(metadata.finalizers, _policy_of(options))
    metadata = replaced(metadata, finalizers=finalizers)
    terminating: Object = strategy.terminating(replaced(one, metadata=metadata))
    return terminating


def _with_grace(metadata: ObjectMeta, grace_s: int, now: datetime) -> ObjectMeta:
    """Return metadata with the deletion asked for; asked again, grace only ever gets shorter."""
    asked_at = now
    before = metadata.deletion_grace_period_seconds or 0
    if metadata.deletion_timestamp is not None:
        if grace_s >= before:
            return metadata
        asked_at = metadata.deletion_timestamp - timedelta(seconds=before)
    return replaced(
        metadata,
        deletion_timestamp=asked_at + timedelta(seconds=grace_s),
        deletion_grace_period_seconds=grace_s,
    )


def _policy_of(options: DeleteOptions) -> Propagation | None:
    if options.orphan_dependents is not None:
        return "Orphan" if options.orphan_dependents else "Background"
    return options.propagation_policy


def finalizers_after(finalizers: tuple[str, ...], policy: Propagation | None) -> tuple[str, ...]:
    """Return what keeps an object until its dependents are dealt with, beside what keeps it anyway.

    As in Kubernetes a policy that is asked for takes the place of an earlier one, and without one
    the object's own finalizers say it.
    """
    if policy is None:
        return finalizers
    asked = POLICY_FINALIZERS.get(policy)
    left = tuple(one for one in finalizers if one not in POLICY_FINALIZERS.values() or one == asked)
    return (*left, asked) if asked and asked not in left else left


def _check_preconditions(call: Call, options: DeleteOptions, metadata: ObjectMeta) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    for field, asked, found in (
        ("UID", wanted.uid, metadata.uid),
        ("ResourceVersion", wanted.resource_version, metadata.resource_version),
    ):
        if asked and asked != found:
            why = f"the {field} in the precondition ({asked[:80]}) is not the object's ({found})"
            raise conflict(call.kind.resource, call.name, f"Precondition failed: {why}")


def options_in(call: Call) -> DeleteOptions:
    """Return the options of a deletion: those of the body, else those of the query.

    Raises: BadRequest, UnsupportedMediaType.
    """
    options = _options_in(call)
    if options.propagation_policy is not None and options.orphan_dependents is not None:
        raise BadRequest("propagationPolicy: orphanDependents says it too: use one of the two")
    return options


def _options_in(call: Call) -> DeleteOptions:
    if call.request.body.strip():
        return model_in(call, DeleteOptions)
    grace_s: int | None = None
    if call.request.parameter("gracePeriodSeconds"):
        grace_s = call.number("gracePeriodSeconds", 0, GRACE_S_MAX)
    policy = call.request.parameter("propagationPolicy")
    if policy not in ("", "Background", "Orphan", "Foreground"):
        raise BadRequest("propagationPolicy: must be Background, Orphan or Foreground")
    return DeleteOptions(
        grace_period_seconds=grace_s,
        propagation_policy=cast(Propagation, policy) if policy else None,
        orphan_dependents=call.is_set("orphanDependents") or None,
    )
