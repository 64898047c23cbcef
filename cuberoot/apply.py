"""Makes a machine a node of a cluster, starts and stops its programs, and takes it all back.

Every step may be repeated: a run that was cut is finished by the next one.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node, NodeAddress, NodeStatus
from cubernetes.api.errors import AlreadyExists
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.storage.storageclass import BindingMode, StorageClass
from cubernetes.api.storagewords import IS_DEFAULT, LOCAL
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.settings import read_known_settings, settings_bytes
from cuberoot import (
    certificates,
    compile,  # noqa: A004  a room's word, not the built-in
    layout,
    pki,
)
from cuberoot.cluster import CONTROL_PLANE_LABEL, Cluster
from cuberoot.host import probe
from cuberoot.host.journal import Journal, differs
from cuberoot.host.pending import Pending
from cuberoot.host.supervision import Condition, Supervisor, supervisor_for
from cuberoot.host.waiting import NotYet, until
from cuberoot.program import Place, Program
from cuberoot.registry import names_of, programs_of

log = Log(__name__)

CLEAN_S = 120.0
NODE_READY_S = 60.0
DEFAULT_CLASS = "local"
# On the namespace of the system: that the default class was made, or was not needed.
CLASS_MARK = "cubernetes.io/default-storage-class"
SYSTEM_NAMESPACE = "kube-system"

type Say = Callable[[str], None]


class NotInitialised(Exception):
    """This machine is no node: there is no cluster file."""


def known_cluster() -> Cluster | None:
    """Return what this machine knows of its cluster; None where it is no node."""
    if not layout.CLUSTER_FILE.exists():
        return None
    cluster, unknown = read_known_settings(Cluster, layout.CLUSTER_FILE)
    if unknown:
        log.warning("fields of another version are left out", file=layout.CLUSTER_FILE, was=unknown)
    return cluster


def write_node(cluster: Cluster, journal: Journal) -> None:
    """Write every file of the node but its certificates; note whose settings change."""
    for folder in (layout.ETCD_STATE, layout.STATE, layout.LOGS, layout.RUN):
        if folder != layout.ETCD_STATE or cluster.is_control_plane:
            journal.tree(folder)
    journal.file(layout.CLUSTER_FILE, settings_bytes(cluster))
    files = compile.files_for(cluster)
    changed = {path for path, file in files.items() if differs(path, file.content, file.mode)}
    Pending(journal).add(one for one in names_of(cluster) if layout.settings_file(one) in changed)
    for path, file in files.items():
        journal.file(path, file.content, file.mode)


def make_certificates(
    cluster: Cluster, journal: Journal, env: Env, *, is_renewal: bool = False
) -> None:
    """Make what a control plane proves itself with, and the administrator's file.

    is_renewal: every certificate anew, not only those that are missing or near their end.
    """
    now = env.clock.now()
    made = certificates.made_for(cluster, now, is_renewal=is_renewal)
    Pending(journal).add(made & set(names_of(cluster)))
    certificates.make(cluster, journal, now, is_renewal=is_renewal)
    ca, admin = pki.read(layout.CLUSTER_CA), pki.read(layout.pair("admin"))
    config = compile.kubeconfig_text(cluster, ca.cert, admin.cert, admin.key)
    journal.file(layout.ADMIN_CONFIG, config.encode())


def remove_program(program: Program, journal: Journal) -> None:
    """Remove the files of an optional program; what it has stored stays until the node is reset."""
    for path in compile.files_of(program):
        journal.remove(path)
    for certificate in program.certificates:
        for path in layout.pair(certificate.name):
            journal.remove(path)


class Programs:
    """Starts, stops and watches the programs of this node."""

    def __init__(
        self,
        cluster: Cluster,
        env: Env,
        say: Say,
        pending: Pending | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        """pending: which programs must begin anew; left out, it is this machine's own."""
        self._cluster, self._env, self._say = cluster, env, say
        self._pending = pending or Pending(Journal())
        self._programs = programs_of(cluster)
        names = names_of(cluster)
        self._supervisor: Supervisor = supervisor or supervisor_for(cluster, names, env)

    async def start(self) -> None:
        """Start everything in order, each once what it needs is there; wait for the node.

        Raises:
            NotYet: names the check that failed; the program's last words are with it.
        """
        await self._supervisor.prepare()
        cluster = self._cluster
        await self._start_all("control-plane")
        client_for = probe.admin_client if cluster.is_control_plane else probe.node_client
        client = client_for(cluster, self._env)
        try:
            if cluster.is_control_plane:
                await self._vouch(client)
            await self._start_all("every-node")
            look = probe.node_missing(client, cluster.node_name)
            await self._until("kubelet", look, NODE_READY_S)
        finally:
            await client.close()
        self._say(f"node {cluster.node_name} is Ready")
        # Last: a node is a node without them.
        await self._start_each(one for one in self._programs if one.is_optional)

    async def refresh(self) -> None:
        """Have those begin anew that run by settings of before; what is stopped stays so."""
        await self._supervisor.prepare()
        pending = self._pending.names
        old = [program.name for program in self._programs if program.name in pending]
        for program, condition in (await self._supervisor.conditions(*old)).items():
            if condition != "stopped":
                await self._start(program)

    async def retire(self, program: Program) -> None:
        """Stop a program that is not to be started again."""
        await self._supervisor.retire(program.name)
        self._say(f"{program.name} stopped")

    async def _start_all(self, place: Place) -> None:
        """Start the programs of a place in order; one that tells its health before the next."""
        here = (one for one in self._programs if one.place == place and not one.is_optional)
        await self._start_each(here)

    async def _start_each(self, programs: Iterable[Program]) -> None:
        for program in programs:
            await self._start(program.name)
            if program.health is not None:
                health = program.health(self._cluster)
                look = probe.health_missing(health)
                await self._until(program.name, look, health.deadline_s)

    async def stop(self) -> None:
        """Stop everything; pods and service rules go on serving."""
        names = [program.name for program in reversed(self._programs)]
        await self._supervisor.stop(*names)
        for name in names:
            self._say(f"{name} stopped")

    async def conditions(self) -> dict[str, Condition]:
        return await self._supervisor.conditions(*(program.name for program in self._programs))

    async def close(self) -> None:
        await self._supervisor.close()

    async def _vouch(self, client: Client) -> None:
        """Make the control plane's Node where it is missing: it has no token to join with.

        So it has its address, which is the API server's, from an administrator, and comes back
        where somebody has removed it.
        """
        cluster = self._cluster
        address = NodeAddress(type="InternalIP", address=cluster.address)
        labels = {**cluster.labels, CONTROL_PLANE_LABEL: ""}
        node = Node(
            metadata=ObjectMeta(name=cluster.node_name, labels=labels),
            status=NodeStatus(addresses=(address,)),
        )
        try:
            await client.create(node)
        except AlreadyExists:
            return

    async def _start(self, program: str) -> None:
        if program in self._pending.names:
            await self._supervisor.stop(program)
        await self._supervisor.start(program)
        self._pending.done(program)
        self._say(f"{program} started")

    async def _until(self, program: str, look: probe.Look, deadline_s: float) -> None:
        try:
            await until(program, look, deadline_s, self._env.clock)
        except NotYet as error:
            condition = (await self._supervisor.conditions(program))[program]
            said = await self._supervisor.last_words(program)
            missing = f"{error.missing} ({program} is {condition})\n{said}"
            raise NotYet(error.what, error.deadline_s, missing.rstrip()) from error


async def add_default_class(client: Client) -> bool:
    """Make the class of claims that name none, once in a cluster's life; tell whether.

    Where it has a class already, it is an administrator's choice; so it is where one was deleted.
    """
    system = await client.get(Namespace, SYSTEM_NAMESPACE)
    if CLASS_MARK in system.metadata.annotations:
        return False
    is_needed = not (await client.list(StorageClass)).items
    if is_needed:
        await _create_class(client)
    change = {"metadata": {"annotations": {CLASS_MARK: DEFAULT_CLASS if is_needed else ""}}}
    await client.patch(Namespace, SYSTEM_NAMESPACE, "", change)
    return is_needed


async def _create_class(client: Client) -> None:
    metadata = ObjectMeta(name=DEFAULT_CLASS, annotations={IS_DEFAULT: "true"})
    mode: BindingMode = "WaitForFirstConsumer"
    made = StorageClass(metadata=metadata, provisioner=LOCAL, volume_binding_mode=mode)
    try:
        await client.create(made)
    except AlreadyExists:
        return


class NotClean(Exception):
    """Something of ours is left on this machine, and the files by which it can be taken away."""


async def clean_node(
    cluster: Cluster,
    env: Env,
    say: Say,
    settings_file: Callable[[str], Path] = layout.settings_file,
) -> None:
    """Take down what the programs made on this node: containers, links, routes and rules.

    Raises: NotClean: what one could not take away; the others have done their part.
    """
    left: list[str] = []
    for program in reversed(programs_of(cluster)):
        try:
            await clean_program(program, cluster, env, say, settings_file)
        except NotClean as error:
            left.append(str(error))
    if left:
        raise NotClean(
            f"{'; '.join(left)}\nThis machine keeps its files, so that cuberoot reset can finish "
            "once that is mended."
        )


async def clean_program(
    program: Program,
    cluster: Cluster,
    env: Env,
    say: Say,
    settings_file: Callable[[str], Path] = layout.settings_file,
) -> None:
    """Take down what one program made on this node, if it made anything. Raises: NotClean."""
    settings, name = settings_file(program.name), program.name
    if not program.reset or not settings.exists():
        return
    argv = [cluster.python, "-m", program.reset, "--settings", str(settings)]
    try:
        await env.commands.run(argv, deadline_s=CLEAN_S)
    except CommandFailed as error:
        say(f"{name}: not all that it made is removed")
        raise NotClean(f"{name}: {_why(error)}") from error
    say(f"{name}: what it made is removed")


def _why(error: CommandFailed) -> str:
    """Return what a program said last of why it could not go on; its log is lines of JSON."""
    for line in reversed(error.said.splitlines()):
        try:
            return msgspec.json.decode(line, type=_LastWord).why
        except msgspec.DecodeError:
            continue
    return str(error)


class _LastWord(msgspec.Struct, frozen=True):
    why: str


def python_here() -> str:
    """Return the interpreter that can run the programs: the one that runs this."""
    return sys.executable
