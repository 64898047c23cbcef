"""The runtime driver for Docker: our words in, HTTP calls out, and nothing believed unseen.

Each pod is a pause container with an empty network namespace of its own, and containers that join
it. What a container is stands in its labels, so a driver that starts after any crash finds all.
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.runtime import docker_words as words
from kubelet.runtime.cgroup import (
    CGROUP_ROOT,
    V1,
    V1_AND_V2,
    oom_score_floor,
    pod_cgroup,
)
from kubelet.runtime.docker_api import DockerApi, EngineError, Silent
from kubelet.runtime.docker_exec import Commands
from kubelet.runtime.docker_logs import LocalLog, LogReading, bytes_beside, keep_files
from kubelet.runtime.docker_names import NameFiles, files_of
from kubelet.runtime.docker_stream import Frames, Lines
from kubelet.runtime.driver import (
    SANDBOX,
    AttachSpec,
    Container,
    ContainerSpec,
    ExecSpec,
    Execution,
    LocalImage,
    Login,
    LogOptions,
    Made,
    Mount,
    RuntimeDown,
    RuntimeTrouble,
    RuntimeVersion,
    SandboxSpec,
    State,
    unheard,
    unheeded,
)
from kubelet.runtime.found.looks import Line, Looks
from kubelet.runtime.found.witness import Witness
from kubelet.runtime.groups import remove_groups
from kubelet.runtime.pulls.docker_pull import PULL_SILENCE_S, Pulls

CREATE_DEADLINE_S = 30.0
START_DEADLINE_S = 60.0
STOP_MARGIN_S = 10.0
REMOVE_DEADLINE_S = 60.0
REMOVE_POLL_S = 0.1
# The engine walks what a container has written.
SIZE_DEADLINE_S = 30.0
LOG_SILENCE_S = 30.0
# A log is copied where the engine has a disk of its own.
KEEP_DEADLINE_S = 10.0
# More gain nothing on a small node, and would only bring each nearer to its deadline.
STARTS_AT_ONCE = 4
EVENTS = ["start", "die", "oom", "destroy"]

log = Log(__name__)


class DockerRuntime:
    """One Docker engine as a runtime; cgroup_root: the group that all pods' groups are in.

    folder: has the files that sandboxes have mounted; run: notes of commands, until the next boot.
    """

    def __init__(  # noqa: PLR0913  a machine is told whole, and tests shorten some of it
        self,
        env: Env,
        socket: Path,
        folder: Path,
        run: Path,
        *,
        cgroup_root: str = CGROUP_ROOT,
        pull_silence_s: float = PULL_SILENCE_S,
        proc: Path = Path("/proc"),
    ) -> None:
        self._clock, self._proc, self._cgroup_root = env.clock, proc, cgroup_root
        self._api = DockerApi(socket)
        self._names = NameFiles(env, folder / "names")
        self._commands = Commands(env, self._api, run / "commands")
        self._pulls = Pulls(self._api, pull_silence_s)
        self._blocking = env.blocking
        self._witness = Witness(env.clock, env.blocking, proc)
        self._looks = Looks(self._witness, self._inspected)
        # Of which an `oom` event told. Where it comes after the end, the engine's record denies it.
        self._oom_killed: set[str] = set()
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._about: words.Json = {}
        own = [(proc / "self" / one).read_text() for one in ("status", "oom_score_adj")]
        self._oom_floor = oom_score_floor(*own)

    async def version(self) -> RuntimeVersion:
        with _trouble("RuntimeError"):
            found = await self._api.call("GET", "/version")
        return RuntimeVersion("docker", found["Version"], await self._api.version())

    async def containers(self) -> Sequence[Container]:
        query = {"all": "1", "filters": json.dumps({"label": [words.POD_UID]})}
        with _trouble("RuntimeError"):
            rows = await self._api.call("GET", "/containers/json", query=query)
            listed = {row["Id"]: Line(row["State"], row["Labels"][words.POD_UID]) for row in rows}
            await self._names.sweep({one.strip("/") for row in rows for one in row["Names"] or ()})
            self._oom_killed &= set(listed)
            return await self._looks.all_of(listed)

    async def suspects(self) -> set[str]:
        known = self._looks.known
        seen = await self._witness.look(known)
        return {container.pod_uid for container in known if self._witness.misses(container, seen)}

    async def disk_bytes(self, container_id: str) -> int:
        path = f"/containers/{quote(container_id, safe='')}/json"
        with _trouble("ContainerNotFound"):
            raw = await self._api.call("GET", path, query={"size": "1"}, deadline_s=SIZE_DEADLINE_S)
            folder = words.log_folder((await self._engine())["DockerRootDir"], raw)
        work = partial(
            bytes_beside,
            Path(folder) if folder else None,
            files_of(raw, self._names.folder(words.name_of(raw))),
        )
        try:
            written = await self._blocking.run(("log size", container_id), work)
        except OSError as error:
            raise RuntimeTrouble("ContainerLogUnavailable", str(error)) from error
        return int(raw.get("SizeRw") or 0) + written

    async def image_id(self, image: str) -> str | None:
        return await self._pulls.image_id(image)

    async def images(self) -> Sequence[LocalImage]:
        return await self._pulls.images()

    async def remove_image(self, image: LocalImage) -> None:
        await self._pulls.remove_image(image)

    async def image_user(self, image: str) -> str:
        return await self._pulls.image_user(image)

    async def pull(
        self, image: str, login: Login | None = None, tell: Callable[[str], None] = unheard
    ) -> str:
        return await self._pulls.pull(image, login, tell)

    async def load(self, archive: AsyncIterable[bytes]) -> None:
        await self._pulls.load(archive)

    async def start_sandbox(self, spec: SandboxSpec, made: Made = unheeded) -> Container:
        with _trouble("CreatePodSandboxError"):
            spec = replace(spec, oom_score_adj=max(spec.oom_score_adj, self._oom_floor))
            parent = await self._pod_cgroup(spec.pod_uid)
            folder = str(self._names.folder(words.container_name(spec)))
            looked = (self._proc / "sys/net/ipv6").exists
            has_ipv6 = await self._blocking.run(("ipv6", ""), looked)
            body = words.sandbox_body(spec, parent, folder, has_ipv6=has_ipv6)
            found = await self._made(spec, body)
            await made(found if isinstance(found, str) else found.id)
            return await self._started(found)

    async def make_container(self, spec: ContainerSpec, sandbox_id: str) -> str:
        found = await self._container_made(spec, sandbox_id)
        return found if isinstance(found, str) else found.id

    async def start_container(
        self, spec: ContainerSpec, sandbox_id: str, made_id: str = ""
    ) -> Container:
        made = made_id or await self._container_made(spec, sandbox_id)
        with _trouble("RunContainerError"):
            return await self._started(made)

    async def _container_made(self, spec: ContainerSpec, sandbox_id: str) -> Container | str:
        with _trouble("CreateContainerError"):
            score = max(spec.oom_score_adj, self._oom_floor)
            mounts = [*await self._names_mounted(spec, sandbox_id), *spec.mounts]
            spec = replace(spec, oom_score_adj=score, mounts=mounts)
            parent = await self._pod_cgroup(spec.pod_uid)
            return await self._made(spec, words.container_body(spec, sandbox_id, parent))

    async def _names_mounted(self, spec: ContainerSpec, sandbox_id: str) -> list[Mount]:
        """Return the mounts that tell a container its sandbox's names, where it has none there."""
        sandbox = self._looks.of(sandbox_id) or await self._inspected(sandbox_id)
        if sandbox is None or sandbox.name != SANDBOX:
            return []
        name, is_read_only = words.container_name(sandbox), spec.security.is_root_read_only
        found = await self._names.mounts(name, read_only=is_read_only)
        taken = {one.target for one in spec.mounts}
        return [one for one in found if one.target not in taken]

    async def stop(self, container_id: str, grace_s: float) -> None:
        found = await self._inspected(container_id)
        if found is None or (await self._looks.judged(found)).state is not State.RUNNING:
            return
        self._looks.forget(container_id)
        is_sandbox = found.name == SANDBOX
        # Docker counts whole seconds; rounded up, nobody gets less than was promised.
        verb, query = ("kill", {"signal": "KILL"}) if is_sandbox else ("stop", _grace(grace_s))
        deadline_s = STOP_MARGIN_S + (0 if is_sandbox else grace_s)
        path = f"/containers/{container_id}"
        with _trouble("StopContainerError"):
            if await self._unless_over("POST", f"{path}/{verb}", query, deadline_s):
                over = {"condition": "not-running"}
                await self._unless_over("POST", f"{path}/wait", over, STOP_MARGIN_S)

    async def remove(self, container_id: str) -> None:
        raw = await self._raw(container_id)
        if raw is None:
            return
        path, query = f"/containers/{container_id}", {"force": "1", "v": "1"}
        with _trouble("RemoveContainerError"):
            try:
                await self._api.call("DELETE", path, query=query, deadline_s=REMOVE_DEADLINE_S)
            except EngineError as refused:
                if refused.status == 409:  # a removal is under way
                    await self._until_gone(container_id)
                elif refused.status != 404:
                    raise
        self._looks.forget(container_id)
        await self._names.remove(words.name_of(raw))
        with _trouble("RemoveContainerError"):
            await self._remove_groups(await self._pod_cgroup(words.container_from(raw).pod_uid))

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        raw = await self._raw(container_id)
        if raw is None:
            raise RuntimeTrouble("ContainerNotFound", f"no container {container_id}")
        folder = words.log_folder((await self._engine())["DockerRootDir"], raw)
        read = self._from_files(raw["Id"], Path(folder), options) if folder else None
        async with aclosing(read or self._from_engine(raw["Id"], options)) as pieces:
            async for piece in pieces:
                yield piece

    async def keep_log(self, container_id: str, folder: Path) -> None:
        raw = await self._raw(container_id)
        source = words.log_folder((await self._engine())["DockerRootDir"], raw) if raw else ""
        if not source:
            return
        work = partial(keep_files, Path(source), folder)
        try:
            await self._blocking.run(("kept log", container_id), work, deadline_s=KEEP_DEADLINE_S)
        except OSError as error:
            raise RuntimeTrouble("ContainerLogUnavailable", str(error)) from error

    def kept_log(self, folder: Path, options: LogOptions) -> AsyncGenerator[bytes, None]:
        return self._from_files("", folder, options)

    async def _from_files(
        self, container_id: str, folder: Path, options: LogOptions
    ) -> AsyncGenerator[bytes, None]:
        """Read a log from its files; container_id: whose; empty where it has gone."""

        async def is_over() -> bool:
            try:
                found = await self._inspected(container_id) if container_id else None
            except RuntimeDown:
                return False  # the container lives on without its engine
            if found is None:
                return True
            return (await self._looks.judged(found)).state is not State.RUNNING

        reading = LogReading(LocalLog(folder, options), self._blocking, self._clock)
        try:
            async with aclosing(reading.pieces(is_over, follow=options.follow)) as pieces:
                async for piece in pieces:
                    yield piece
        except OSError as error:
            raise RuntimeTrouble("ContainerLogUnavailable", str(error)) from error

    async def _from_engine(
        self, container_id: str, options: LogOptions
    ) -> AsyncGenerator[bytes, None]:
        """Read a log that is not in files of ours, as the engine gives it."""
        wanted = [options.stream] if options.stream else ["stdout", "stderr"]
        query = {**dict.fromkeys(wanted, "1"), "follow": str(int(options.follow))}
        query["timestamps"] = str(int(options.timestamps))
        query["tail"] = "all" if options.tail_count is None else str(options.tail_count)
        if options.since_ns:
            query["since"] = "{}.{:09d}".format(*divmod(options.since_ns, 1_000_000_000))
        silence_s = None if options.follow else LOG_SILENCE_S
        path, frames = f"/containers/{container_id}/logs", Frames()
        with _trouble("ContainerNotFound"):
            async with aclosing(
                self._api.stream("GET", path, query=query, silence_s=silence_s)
            ) as pieces:
                async for piece in pieces:
                    for payload in frames.feed(piece):
                        yield payload

    async def exec(self, container_id: str, spec: ExecSpec) -> Execution:
        return await self._commands.exec(container_id, spec)

    async def end_left_commands(self) -> None:
        await self._commands.end_left()

    async def attach(self, container_id: str, spec: AttachSpec) -> Execution:
        return await self._commands.attach(container_id, spec)

    async def events(self) -> AsyncGenerator[str, None]:
        filters = {"type": ["container"], "label": [words.POD_UID], "event": EVENTS}
        query, lines, stands = {"filters": json.dumps(filters)}, Lines(), False
        with _trouble("RuntimeError"):
            async with aclosing(self._api.stream("GET", "/events", query=query)) as pieces:
                try:
                    async for piece in pieces:
                        if not stands:
                            stands = True
                            yield ""
                        for line in lines.feed(piece):
                            yield self._heard(json.loads(line))
                except RuntimeDown:
                    if not stands:
                        raise

    async def close(self) -> None:
        await self._looks.close()
        await self._api.close()

    def _heard(self, event: words.Json) -> str:
        """Take note of an event; return the uid of the pod that it is about."""
        actor = event["Actor"]
        if event["Action"] == "oom":
            self._oom_killed.add(actor["ID"])
            self._looks.forget(actor["ID"])
        uid: str = actor["Attributes"][words.POD_UID]
        return uid

    async def _inspected(self, reference: str) -> Container | None:
        raw = await self._raw(reference)
        if raw is None:
            return None
        found = words.container_from(raw)
        if found.state is State.EXITED and found.id in self._oom_killed:
            return replace(found, oom_killed=True)
        return found

    async def _raw(self, reference: str) -> words.Json | None:
        """Return the engine's whole answer on a container, by id or by name; None where absent."""
        try:
            found: words.Json = await self._api.call(
                "GET", f"/containers/{quote(reference, safe='')}/json"
            )
        except EngineError as refused:
            if refused.status == 404:
                return None
            raise RuntimeTrouble("InspectContainerError", str(refused)) from refused
        return found

    async def _made(
        self, spec: SandboxSpec | ContainerSpec, body: dict[str, object]
    ) -> Container | str:
        """Create the container, or find the one that an earlier call made; return it or its id."""
        path, query = "/containers/create", {"name": words.container_name(spec)}
        body = words.marked(body)
        for is_last in (False, True):
            if isinstance(spec, SandboxSpec):
                await self._names.write(query["name"], words.name_files(spec))
            try:
                created = await self._api.call(
                    "POST", path, query=query, body=body, deadline_s=CREATE_DEADLINE_S
                )
            except EngineError as refused:
                if refused.status != 409 or is_last:
                    raise
                found = await self._adopted(query["name"], spec, body, refused)
                if found is not None:
                    return found
            else:
                return str(created["Id"])
        raise AssertionError("the last attempt returns or raises")

    async def _adopted(
        self,
        name: str,
        spec: SandboxSpec | ContainerSpec,
        body: dict[str, object],
        refused: EngineError,
    ) -> Container | None:
        """Return the holder of the name where it is what spec wants; remove a half-made one.

        Raises: refused, where the name belongs to another, or to a create that is under way.
        """
        raw = await self._raw(name)
        if raw is None or not words.is_ours(raw):
            raise refused
        found = await self._looks.judged(words.container_from(raw))
        if words.is_usable(raw, found.state, spec, body):
            log.info("container adopted", container=name, id=found.id, state=found.state.value)
            return found
        if found.state is not State.CREATED and found.name != SANDBOX:
            raise refused  # it has run: what it left is the kubelet's to judge
        log.info("half-made container removed", container=name, id=found.id)
        await self.remove(found.id)
        return None

    async def _started(self, made: Container | str) -> Container:
        if isinstance(made, Container) and made.state is not State.CREATED:
            return made
        container_id = made if isinstance(made, str) else made.id
        path = f"/containers/{container_id}/start"
        async with self._starts:
            await self._api.call("POST", path, deadline_s=START_DEADLINE_S)
        found = await self._inspected(container_id)
        if found is None:
            raise RuntimeTrouble("RunContainerError", "it was removed while it started")
        if found.state is State.RUNNING:
            # The next list need not ask again.
            self._looks.remember(found)
        return found

    async def _unless_over(
        self, method: str, path: str, query: dict[str, str], deadline_s: float
    ) -> bool:
        """Make a call that ends a container; False where there was nothing left to end."""
        try:
            await self._api.call(method, path, query=query, deadline_s=deadline_s)
        except EngineError as refused:
            if refused.status in {404, 409}:
                return False
            raise
        return True

    async def _until_gone(self, container_id: str) -> None:
        give_up_s = self._clock.monotonic() + REMOVE_DEADLINE_S
        while await self._raw(container_id) is not None:
            if self._clock.monotonic() > give_up_s:
                raise Silent(f"the removal of {container_id} does not end")
            await self._clock.sleep(REMOVE_POLL_S)

    async def _pod_cgroup(self, pod_uid: str) -> str:
        driver = (await self._engine())["CgroupDriver"]
        return pod_cgroup(driver, self._cgroup_root, pod_uid)

    async def _engine(self) -> words.Json:
        """Return what the engine says of itself; it is asked once."""
        if not self._about:
            self._about = await self._api.call("GET", "/info")
        return self._about

    async def _remove_groups(self, parent: str) -> None:
        """Remove the pod's group with its last container, and the pods' group with its last pod.

        Docker makes them and forgets them. A group that something is in cannot be removed, so
        trying is asking. systemd does the same for its slices (cuberoot's files tell it to), but
        not in the hierarchies of version 1 that it does not use itself.
        """
        kinds = V1 if self._about["CgroupDriver"] == "systemd" else V1_AND_V2
        remove = partial(remove_groups, self._proc, kinds, parent)
        try:
            await self._blocking.run(("groups", parent), remove)
        except OSError as error:
            log.warning("control groups not removed", parent=parent, why=error)


def _grace(grace_s: float) -> dict[str, str]:
    return {"t": str(math.ceil(max(0.0, grace_s)))}


@contextmanager
def _trouble(reason: str) -> Generator[None, None, None]:
    """Tell the engine's refusal in the kubelet's words."""
    try:
        yield
    except EngineError as refused:
        raise RuntimeTrouble(reason, str(refused)) from refused
