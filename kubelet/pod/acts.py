"""What is done to one pod on this node: its sandbox, its containers, its network, its end."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cubernetes.api.causes import cause_of
from cubernetes.api.core.parts.resources import is_extended
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.spec import lasting_containers
from cubernetes.api.core.podspec.volumes.volume import is_made_from_objects
from cubernetes.api.errors import Conflict, NotFound
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from kubelet.drain.draining import Draining, are_roads_closed
from kubelet.files.contents import Content, mark_of, tells_amounts
from kubelet.files.profiles import read_profile
from kubelet.network.driver import NetworkTrouble
from kubelet.objects.origins import Origins, given_variables
from kubelet.pod.decisions import ephemeral, plan, specs
from kubelet.pod.decisions.security import needs_image_user, seccomp_file_of, security_of
from kubelet.pod.hooks import Hooks
from kubelet.pod.images import PodImages, container_path
from kubelet.pod.parts import Parts
from kubelet.pod.volumes import Message, VolumePart, VolumeTrouble
from kubelet.pod.wire import Wire
from kubelet.runtime.driver import (
    SANDBOX,
    Container,
    ContainerSpec,
    RuntimeTrouble,
    Security,
    State,
)

log = Log(__name__)

RESOLV_CONF = ("machine", "resolv.conf")


class Prepared(NamedTuple):
    """A container that was made beside its sandbox, as it was wanted then."""

    spec: ContainerSpec
    sandbox_id: str
    container_id: str


def has_begun(pod: Pod) -> bool:
    """Whether containers of a pod have run, as far as its status says: it may be over."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return is_finished(pod) or any(one.container_id for one in statuses)


def _told_later(_record: Record) -> None:
    """Tell nothing yet: it is told of the container that is started."""


class Acts:
    """Each act may be repeated after a crash. `sandbox` is the one that runs, as found last."""

    def __init__(self, uid: str, parts: Parts, wake: Callable[[], None]) -> None:
        self.cause = cause_of(uid)
        self.uid, self._parts = uid, parts
        self.hooks = Hooks(parts.asker, parts.env.clock, parts.recorder.record)
        self.images = PodImages(parts, wake)
        self.sandbox: Container | None = None
        self.wire = Wire(uid, parts)
        self._written_mark: tuple[object, ...] | None = None
        # What was made beside the sandbox, for the first container that follows.
        self._made_volumes: Mapping[str, str] | None = None
        self._prepared: Prepared | None = None

    async def start_sandbox(self, pod: Pod, attempt: int) -> None:
        """Start the pod's sandbox; its volumes and its first container are made meanwhile."""
        self._made_volumes = self._prepared = None
        address = await self.wire.reserve(pod)
        host = await self._parts.env.blocking.run(RESOLV_CONF, self._parts.resolv_conf)
        spec = specs.sandbox_spec(pod, attempt, address, self._parts.settings, host)
        is_first = attempt == 0 and bool(address) and not has_begun(pod)
        sandbox_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # All of these need the disk, whose syncs take as long as the engine takes for a sandbox.
        recording = asyncio.ensure_future(self._parts.network.recorded())
        preparing = asyncio.ensure_future(self._prepare(pod, sandbox_id, is_first=is_first))

        async def made(made_id: str) -> None:
            sandbox_id.set_result(made_id)
            # A sandbox that ran with an address of which a crash leaves no record would keep
            # names that are another pod's. One that was never started is of no use to the next try.
            try:
                await recording
            except NetworkTrouble:
                await self._parts.runtime.remove(made_id)
                raise

        try:
            async with self._parts.starts.sandbox():
                self.sandbox = await self._parts.runtime.start_sandbox(spec, made)
            await self.wire.join(pod, self.sandbox)
            await preparing
        except asyncio.CancelledError:
            preparing.cancel()
            raise
        finally:
            # What is under way on the disk is waited for: a descriptor that is being opened would
            # have nobody to close it.
            for work in (sandbox_id, recording):
                work.cancel()
            await asyncio.gather(recording, preparing, return_exceptions=True)

    async def _prepare(self, pod: Pod, sandbox_id: asyncio.Future[str], *, is_first: bool) -> None:
        """Make the pod's volumes and, where nothing was made before, its first container.

        What cannot be made is told, or waited for, when the container is to start.
        """
        wanted = [*pod.spec.init_containers, *pod.spec.containers][0]
        try:
            self._made_volumes = await self.prepare_volumes(pod)
            if not is_first or not await self.images.is_ready(wanted):
                return
            if any(map(is_extended, requested(pod.spec))):
                return  # another may be given its devices before it starts
            spec = await self._spec(pod, wanted, 0, self._made_volumes, tell=_told_later)
            joined_id = await sandbox_id
            made_id = await self._parts.runtime.make_container(spec, joined_id)
        except (RuntimeTrouble, NetworkTrouble, VolumeTrouble) as error:
            log.debug("not made beside the sandbox", why=error, cause=self.cause)
            return
        self._prepared = Prepared(spec, joined_id, made_id)

    async def is_wired(self, pod: Pod) -> bool:
        """Whether this life has seen the running sandbox wired, or there is none to wire."""
        return await self.wire.is_seen(pod, self.sandbox)

    async def rejoin_network(self, pod: Pod) -> None:
        """See to it that the running sandbox is wired: an earlier life may have ended before."""
        if self.sandbox is not None and not await self.is_wired(pod):
            await self.wire.join(pod, self.sandbox)

    async def start_container(self, pod: Pod, name: str, attempt: int, target_id: str = "") -> str:
        """Start a container; while its image is on its way, that is all, and it is asked again.

        Return its id where it is to be ended, since its hook failed; else nothing.
        """
        wanted = specs.wanted_named(pod, name)
        sandbox = self.sandbox
        if sandbox is None or wanted is None:
            raise RuntimeTrouble("CreateContainerError", "the pod's sandbox does not run")
        await self.rejoin_network(pod)
        prepared, self._prepared = self._prepared, None
        is_here = prepared is not None and prepared.spec.image == wanted.image
        if not await self.images.ensure(pod, wanted, attempt, is_here=is_here):
            return ""
        volumes, self._made_volumes = self._made_volumes, None
        if volumes is None or self.has_new_content(pod):
            volumes = await self.prepare_volumes(pod)
        spec = await self._spec(pod, wanted, attempt, volumes, target_id)
        # What is wanted may be another by now: its variables are those of now.
        made_id = ""
        if prepared is not None and prepared[:2] == (spec, sandbox.id):
            made_id = prepared.container_id
        async with self._parts.starts.container():
            started = await self._parts.runtime.start_container(spec, sandbox.id, made_id)
        for reason in ("Created", "Started"):
            message, path = f"{reason} container {name}", container_path(pod, name)
            self._parts.recorder.record(Record(pod, reason, message, field_path=path))
        if not await self.hooks.started(pod, wanted, started, await self.wire.address(pod)):
            message = f"Stopping container {name}: FailedPostStartHook"
            path = container_path(pod, name)
            self._parts.recorder.record(Record(pod, "Killing", message, field_path=path))
            return started.id
        return ""

    async def _spec(
        self,
        pod: Pod,
        wanted: Wanted,
        attempt: int,
        volumes: Mapping[str, str],
        target_id: str = "",
        *,
        tell: Callable[[Record], None] | None = None,
    ) -> ContainerSpec:
        """Return what a container is made of, with all that it needs on this node made."""
        tell = tell or self._parts.recorder.record
        security = await self._security(pod, wanted)
        origins = await self._origins(pod, wanted, tell)
        memory_bytes = self._parts.node_memory_bytes
        parts = await self._bound_parts(pod, wanted, volumes, origins, tell)
        message_file = await self._message_file(Message(self.uid, wanted.name, attempt))
        if not ephemeral.is_ephemeral(pod, wanted.name):
            await self._parts.devices.give(pod)
        devices = await self._parts.devices.allotment(pod, wanted.name)
        return specs.container_spec(
            pod, wanted, attempt, volumes, memory_bytes, origins, parts, security, message_file,
            devices, target_id,
        )  # fmt: skip

    async def before_stop(self, pod: Pod | None, found: Container, grace_s: float) -> float:
        """Run a container's preStop hook within its grace; return what is left of it."""
        if pod is None or found.name == SANDBOX or found.state is not State.RUNNING:
            return grace_s
        wanted = specs.wanted_named(pod, found.name)
        if wanted is None:
            return grace_s
        return await self.hooks.stopping(pod, wanted, found, await self.wire.address(pod), grace_s)

    async def prepare_volumes(self, pod: Pod) -> Mapping[str, str]:
        """Make the pod's volumes what they are to be now; return their paths by name."""
        objects, unknown = await self._parts.objects.of_volumes(pod)
        tokens, untold = await self._parts.objects.tokens.known(pod)
        is_away = bool(untold) and self._parts.objects.tokens.is_away
        now = self._parts.env.clock.now()
        amounts = self._allocatable(pod)
        content = Content(objects, unknown, tokens, untold, is_away, now, amounts)
        claimed = await self._parts.claims.claimed(pod)
        paths = await self._parts.volumes.prepare(pod, content, claimed)
        self._written_mark = mark_of(pod, content)
        return paths

    async def _security(self, pod: Pod, wanted: Wanted) -> Security:
        """Return as whom a container runs, and what it may do."""
        user = ""
        if needs_image_user(pod, wanted):
            user = await self._parts.runtime.image_user(wanted.image)
        profile, seccomp = seccomp_file_of(pod, wanted), ""
        if profile:
            key = ("seccomp", profile)
            read = partial(read_profile, Path(self._parts.settings.root) / "seccomp", profile)
            seccomp = await self._parts.env.blocking.run(key, read)
        return security_of(pod, wanted, user, seccomp)

    async def _bound_parts(
        self,
        pod: Pod,
        wanted: Wanted,
        volumes: Mapping[str, str],
        origins: Origins,
        tell: Callable[[Record], None],
    ) -> Mapping[int, str]:
        """Bind the parts of volumes that a container sees; return their paths by mount."""
        made = {one.name for one in pod.spec.volumes if is_made_from_objects(one)}
        bound: dict[int, str] = {}
        for index, path in specs.sub_paths(pod, wanted, origins).items():
            name = wanted.volume_mounts[index].name
            is_made = name not in made
            part = VolumePart(self.uid, wanted.name, index, name, volumes[name], path, is_made)
            found = await self._parts.volumes.bind(part)
            bound[index] = found.path
            if not found.is_there:
                at = wanted.volume_mounts[index].mount_path
                told = f"volume {name} has no {path[:255]}: {at} is an empty folder"
                field = container_path(pod, wanted.name)
                tell(Record(pod, "SubPathMissing", told, "Warning", field))
        return bound

    def has_new_content(self, pod: Pod) -> bool:
        """Whether files of the pod's volumes are to be others than those this life has written."""
        objects = self._parts.objects
        known = (*objects.of_volumes_now(pod), *objects.tokens.known_now(pod))
        content = Content(*known, allocatable=self._allocatable(pod))
        mark = mark_of(pod, content)
        return mark is not None and mark not in (self._written_mark, ())

    def _allocatable(self, pod: Pod) -> Mapping[str, int]:
        """Return what the node has for pods, for files that tell of it."""
        return self._parts.room().amounts if tells_amounts(pod) else {}

    async def _message_file(self, message: Message) -> str:
        """Make the file for a container's last message; empty: it starts without one.

        A disk that takes no write holds up no pod that has no volume on it.
        """
        try:
            return await self._parts.volumes.message_file(message)
        except VolumeTrouble as error:
            log.warning("no file for a last message", why=error, cause=self.cause)
            return ""

    async def _origins(self, pod: Pod, wanted: Wanted, tell: Callable[[Record], None]) -> Origins:
        """Return what a container's variables are made from; tell of keys that are none."""
        address, host = await self.wire.address(pod), self._parts.host_address
        origins = await self._parts.objects.origins(pod, wanted, address, host)
        origins = replace(origins, allocatable=self._parts.room().amounts)
        _, left_out = given_variables(wanted, origins)
        if left_out:
            message = f"keys {left_out} of envFrom were skipped: they are no names of variables"
            reason = "InvalidEnvironmentVariableNames"
            tell(Record(pod, reason, message, "Warning"))
        return origins

    def tell_of_stop(self, pod: Pod, step: plan.Stop, found: Sequence[Container]) -> None:
        """Tell of each container that is going to be stopped, in the words of Kubernetes."""
        told = f": {step.why}" if step.why not in (plan.DELETED, plan.OVER) else ""
        ids = {*step.ids, *step.later}
        for name in sorted({one.name for one in found if one.id in ids}):
            message, path = f"Stopping container {name}{told}", container_path(pod, name)
            if step.is_unhealthy:
                message = f"Container {name} {step.why}"
            self._parts.recorder.record(Record(pod, "Killing", message, field_path=path))

    async def stop_sandbox(self, container_id: str) -> None:
        await self.wire.leave()
        await self._parts.runtime.stop(container_id, 0.0)

    async def draining(self, pod: Pod, before: Draining) -> Draining:
        """Return what is known of the roads to the pod, with a look at what is in flight."""
        is_ending = pod.metadata.is_deleted
        if not is_ending and is_ready(pod):
            return before
        known = Draining(self._parts.settings.drain_s, self._parts.objects.serve(pod))
        sandbox = self.sandbox
        if not is_ending or not known.is_served or not are_roads_closed(pod) or sandbox is None:
            return known
        serving = lasting_containers(pod.spec)
        ports = frozenset(port.container_port for one in serving for port in one.ports)
        is_shared, count = pod.spec.host_network, self._parts.connections.count
        try:
            open_count = await count(sandbox.pid, ports, is_shared=is_shared)
        except OSError as error:
            log.debug("connections not read", why=error, cause=self.cause)
            return known
        return replace(known, calm_count=0 if open_count else before.calm_count + 1)

    async def finish(self, pod: Pod | None) -> None:
        """Free what the pod held; then, and only then, take it out of the API."""
        await self.wire.leave()
        await self._parts.volumes.remove(self.uid)
        log.info("nothing left of a pod", pod=self.uid, cause=self.cause)
        if pod is not None:
            try:
                name, namespace = pod.metadata.name, pod.metadata.namespace
                await self._parts.client.delete(Pod, name, namespace, uid=self.uid, grace_s=0)
            except (NotFound, Conflict):
                log.debug("pod was gone already", pod=pod.ref)
