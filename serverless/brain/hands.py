"""What the brain does: each action once, in the background, told to memory when it has ended."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.errors import AlreadyExists, ApiError, NotFound
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.serverless.function import Function
from cubernetes.api.serverless.functionrevision import FunctionRevision, FunctionRevisionSpec
from cubernetes.api.serverless.route import Route
from cubernetes.api.serverless.trigger import Trigger
from cubernetes.api.serverless.workflow import Workflow
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from serverless.board.key import FunctionKey
from serverless.brain import statuses
from serverless.brain.known import Memory
from serverless.brain.naming import INSTANCES_NAMESPACE, key_for, revision_name
from serverless.brain.plan import (
    Action,
    Claim,
    Drain,
    DropRevision,
    Load,
    MakeInstance,
    MakeRevision,
    Remove,
)
from serverless.brain.pods import address_of, labels_for, pod_for
from serverless.brain.secrets import Lacking, values_of
from serverless.instances import Code, Instances, LoadFailed, NotTaken, Spoiled

log = Log(__name__)

SEEN_S = 10.0  # for a write to come back by the watch
FAILED_PAUSE_S = 1.0
# An instance that has just begun does not listen yet.
NOT_TAKEN_PAUSE_S = 0.05
# Until a Secret that a revision lacks is looked for again.
LACKING_PAUSE_S = 1.0


class Hands:
    """Carries actions out."""

    def __init__(
        self,
        client: Client,
        env: Env,
        instances: Instances,
        memory: Memory,
        changed: Callable[[], None],
    ) -> None:
        self._client, self._env, self._instances = client, env, instances
        self.memory, self._changed = memory, changed
        self._tasks: set[asyncio.Task[None]] = set()
        # Told by the program: the image of instances, and the secret of their keys.
        self.image = self.secret = ""
        self.pods = Informer(client, Pod, env, namespace=INSTANCES_NAMESPACE)
        self.functions = Informer(client, Function, env)
        self.revisions = Informer(client, FunctionRevision, env)
        self.routes = Informer(client, Route, env)
        self.triggers = Informer(client, Trigger, env)
        self.workflows = Informer(client, Workflow, env)

    def begin(self, action: Action) -> None:
        """Begin an action; what is under way is in memory at once."""
        match action:
            case MakeRevision(function):
                name = revision_name(function)
                self.memory.making.add(name)
                made = partial(self.memory.making.discard, name)
                self._do("make revision", self._make_revision(function), made)
            case DropRevision(revision):
                name = revision.metadata.name
                self.memory.making.add(name)
                dropped = partial(self.memory.making.discard, name)
                self._do("drop revision", self._delete(self.revisions, revision), dropped)
            case MakeInstance(function, size):
                name = f"python-{self._env.rng.chars(8)}"
                self.memory.coming[name] = (function, size)
                made_pod = pod_for(name, size, function, self.image)
                seen = partial(self.memory.coming.pop, name, None)
                self._do("make instance", self._create(self.pods, made_pod), seen)
            case Claim() | Load() | Remove():
                self._on_pod(action)
            case Drain(instance, is_draining):
                if (pod := self._pod(instance.name)) is not None:
                    self.memory.of(pod.metadata.uid).is_draining = is_draining
                self._changed()

    def write_status(self, informer: Informer[Any], one: Object) -> None:
        """Write a status, unless one of that object is being written already."""
        ref = one.ref
        if ref in self.memory.writing:
            return
        self.memory.writing.add(ref)
        written = partial(self.memory.writing.discard, ref)
        self._do("write status", self._write(informer, one), written)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_pod(self, action: Claim | Load | Remove) -> None:
        pod = self._pod(action.instance.name)
        if pod is None:
            return
        one = self.memory.of(pod.metadata.uid)
        one.is_busy = True

        def is_done() -> None:
            one.is_busy = False

        match action:
            case Claim(_, function):
                self._do("claim", self._claim(pod, function), is_done)
            case Load(_, revision, keep):
                self._do("load", self._load(pod, revision, keep), is_done)
            case Remove():
                self._do("remove", self._remove(pod), is_done)

    def _pod(self, name: str) -> Pod | None:
        return self.pods.cache.get(name, INSTANCES_NAMESPACE)

    def _do(self, name: str, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> None:
        async def doing() -> None:
            try:
                await work
            except (ApiError, TransportError) as error:
                log.warning("not done, planning again", what=name, why=error)
                await self._env.clock.sleep(FAILED_PAUSE_S)
            except Exception as error:  # noqa: BLE001  a bug must not take its neighbours down
                log.bug("an action failed", error, what=name)
                await self._env.clock.sleep(FAILED_PAUSE_S)
            finally:
                ended()
                self._changed()

        task = asyncio.get_running_loop().create_task(doing())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_revision(self, function: Function) -> None:
        spec, meta = function.spec, function.metadata
        revision = FunctionRevision(
            metadata=ObjectMeta(
                name=revision_name(function),
                namespace=meta.namespace,
                owner_references=(function.owner_reference(),),
            ),
            spec=FunctionRevisionSpec(
                function=meta.name,
                runtime=spec.runtime,
                files=spec.files,
                entry=spec.entry,
                env=spec.env,
                secrets=spec.secrets,
            ),
        )
        try:
            await self._create(self.revisions, revision)
        except AlreadyExists:
            found = await self._client.get(FunctionRevision, revision.metadata.name, meta.namespace)
            owner = found.metadata.controller
            if owner is None or owner.uid != meta.uid:
                # Of a function of the same name that has gone: it goes with it.
                await self._delete(self.revisions, found)

    async def _create(self, informer: Informer[Any], one: Object) -> None:
        made = await self._client.create(one)
        await informer.at_least(revision_of(made), SEEN_S)

    async def _delete(self, informer: Informer[Any], one: Object) -> None:
        meta = one.metadata
        try:
            gone = await self._client.delete(type(one), meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return
        await informer.at_least(int(gone or 0), SEEN_S)

    async def _write(self, informer: Informer[Any], one: Object) -> None:
        try:
            written = await self._client.update_status(one)
        except NotFound:
            return
        await informer.at_least(revision_of(written), SEEN_S)

    async def _claim(self, pod: Pod, function: FunctionKey) -> None:
        """Write whose it is; another's claim in between is a conflict."""
        meta = pod.metadata
        change = {
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "labels": labels_for(function),
            }
        }
        one = self.memory.of(meta.uid)
        one.claimed = function
        try:
            claimed = await self._client.patch(Pod, meta.name, meta.namespace, change)
        except (ApiError, TransportError):
            one.claimed = None
            raise
        log.info("instance claimed", pod=pod.ref, function=function)
        await self.pods.at_least(revision_of(claimed), SEEN_S)

    async def _load(self, pod: Pod, revision: FunctionRevision, keep: tuple[str, ...]) -> None:
        uid, name, clock = pod.metadata.uid, revision.metadata.name, self._env.clock
        spec = revision.spec
        try:
            secrets = await self._secrets(revision)
        except Lacking as error:
            if self.memory.lacking.get(revision.ref) != str(error):
                log.warning("a revision waits", revision=name, why=error)
            self.memory.lacking[revision.ref] = str(error)
            self.memory.failed(uid, name, str(error), clock.monotonic(), LACKING_PAUSE_S)
            return
        self.memory.lacking.pop(revision.ref, None)
        code = Code(
            function=f"{revision.metadata.namespace}/{spec.function}/{revision.parent_uid}",
            revision=name,
            entry=spec.entry,
            files=spec.files,
            env={**spec.env, **secrets},
            keep=keep,
        )
        failure, spent_ms = "", 0.0
        try:
            spent_ms = await self._instances.load(address_of(pod), key_for(self.secret, uid), code)
        except NotTaken:
            await clock.sleep(NOT_TAKEN_PAUSE_S)
            return
        except Spoiled as error:
            log.warning("an instance is of no use", pod=pod.ref, why=error)
            self.memory.of(uid).is_broken = True
            return
        except LoadFailed as error:
            failure = str(error)
            self.memory.failed(uid, name, failure, clock.monotonic())
        else:
            self.memory.loaded(uid, name, keep)
        log.info("revision loaded", revision=name, pod=pod.ref, spent_ms=spent_ms, why=failure)
        self._judge(revision, failure, spent_ms)

    async def _secrets(self, revision: FunctionRevision) -> dict[str, str]:
        """Return the variables that come from Secrets, as these are now. Raises: Lacking."""
        found: dict[str, Secret | None] = {}
        for name in sorted({one.name for one in revision.spec.secrets}):
            try:
                found[name] = await self._client.get(Secret, name, revision.metadata.namespace)
            except NotFound:
                found[name] = None
        return values_of(revision.spec.secrets, found)

    def _judge(self, revision: FunctionRevision, failure: str, spent_ms: float) -> None:
        """Keep what was found of a revision, the first time, and write it."""
        if revision.status.conditions:
            return
        now = self._env.clock.now()
        judged = statuses.revision_with(revision, failure, spent_ms, now)
        self.memory.verdicts[revision.ref] = judged
        self.write_status(self.revisions, judged)

    async def _remove(self, pod: Pod) -> None:
        self._instances.forget(address_of(pod))
        await self._delete(self.pods, pod)
