"""Docker's words and ours: request bodies from specs, containers from inspections. Pure.

The labels are the record of what a container is; its name is for people, and is never parsed.
"""

import hashlib
import json
import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urlencode

from kubelet.runtime.cgroup import CPU_SHARES_MIN, cpu_shares_of
from kubelet.runtime.driver import (
    PRIVATE,
    SANDBOX,
    AttachSpec,
    Container,
    ContainerSpec,
    DeviceFile,
    ExecSpec,
    Mount,
    SandboxSpec,
    Security,
    State,
)

# What Docker's JSON decodes to: the foreign door of this room.
type Json = Mapping[str, Any]

POD_UID = "cubernetes.io/pod-uid"
POD_NAME = "cubernetes.io/pod-name"
NAMESPACE = "cubernetes.io/namespace"
CONTAINER = "cubernetes.io/container"
ATTEMPT = "cubernetes.io/attempt"
SPEC_HASH = "cubernetes.io/spec-hash"
MADE_OF = "cubernetes.io/made-of"  # the mark of the body that a container was created by
DEVICES = "cubernetes.io/devices"
MARK_CHARS = 16

ARCHIVE_MANIFEST, MANIFEST_BYTES_MAX = "manifest.json", 1024 * 1024

HOST = "host"  # what the node's own namespaces are called
# A network namespace of its own that nobody has wired yet. Told to leave networks alone, the engine
# has the namespace made with the process; for `none` alone it would execute itself anew to make it.
UNWIRED = "none"
# Pods have no IPv6: what keeps them from the nodes' ports knows none. For `none` alone the engine
# sets it so.
WITHOUT_IPV6 = {"net.ipv6.conf.all.disable_ipv6": "1"}
# The files in /etc that tell names, in the order of their making.
NAME_FILES = ("hosts", "hostname", "resolv.conf")
LOCAL_NAMES = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
SHARED = "container:"  # what a namespace is called that another container has, before its id
NAME_PART_MAX = 63
CPU_PERIOD_US = 100_000
CPU_QUOTA_US_MIN = 1_000  # the kernel refuses less
SIGNAL_MAX = 64
# A fork bomb ends at its own container's wall, not at the node's: far above what servers need.
PIDS_MAX = 4096
# It keeps bytes and lines as they were written, and its files are read by docker_logs. Not
# compressed: a file that is rotated under a reader must stay what it was.
LOG_DRIVER = "local"
LOG_CONFIG = {
    "Type": LOG_DRIVER,
    "Config": {"max-size": "10m", "max-file": "3", "compress": "false"},
}
# A set-uid program in an image gains nothing.
SECURITY_OPTIONS = ["no-new-privileges"]
# Docker's default set but for this one, which allows packets with any source. `ping` goes on
# by the unprivileged sockets that Docker allows every group of a container.
CAPABILITIES_DROPPED = ["NET_RAW"]
# By these keys the engine would end a session at a terminal. It knows no way to have none, and its
# own, Ctrl-P Ctrl-Q, people press; these nobody does.
DETACH_KEYS = ",".join(["ctrl-^", "ctrl-_"] * 4)

_NAME_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST})?{_NAME_PART}(?:/{_NAME_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[a-z0-9]+:[0-9a-fA-F]{32,}))?"
)
REFERENCE_CHARS_MAX = 512


class NotAReference(Exception):
    """The text names no image."""


def image_names(listed: Json) -> tuple[str, ...]:
    """Return the names of an image in the engine's list, tags first; <none> is no name."""
    names = (*(listed.get("RepoTags") or ()), *(listed.get("RepoDigests") or ()))
    return tuple(str(name) for name in names if "<none>" not in name)


def image_reference(image: str) -> tuple[str, str]:
    """Return the repository and the tag or digest to pull; without either, `latest`.

    Asked for a repository alone, Docker would fetch every tag of it.

    Raises: NotAReference.
    """
    found = _REFERENCE.fullmatch(image) if len(image) <= REFERENCE_CHARS_MAX else None
    if found is None:
        raise NotAReference(f"{image[:80]!r} is not the name of an image")
    return found["name"], found["digest"] or found["tag"] or "latest"


def container_name(spec: SandboxSpec | ContainerSpec | Container) -> str:
    """Return the name that people see in `docker ps`; the uid keeps cut names apart."""
    name = SANDBOX if isinstance(spec, SandboxSpec) else spec.name
    parts = (name, spec.pod_name, spec.namespace, spec.pod_uid)
    return "_".join(["cube", *(part[:NAME_PART_MAX] for part in parts), str(spec.attempt)])


def labels_of(spec: SandboxSpec | ContainerSpec) -> dict[str, str]:
    """Return the record that a container carries of what it is."""
    name, spec_hash = (
        (SANDBOX, "") if isinstance(spec, SandboxSpec) else (spec.name, spec.spec_hash)
    )
    return {
        POD_UID: spec.pod_uid,
        POD_NAME: spec.pod_name,
        NAMESPACE: spec.namespace,
        CONTAINER: name,
        ATTEMPT: str(spec.attempt),
        SPEC_HASH: spec_hash,
        **({DEVICES: spec.held} if isinstance(spec, ContainerSpec) and spec.held else {}),
    }


def name_files(spec: SandboxSpec) -> dict[str, str]:
    """Return the files of a pod with a network of its own that tell names, by their names in /etc.

    In the node's network it is told the node's names, and the engine does so.
    """
    if spec.is_host_network:
        return {}
    hosts = "".join(f"{ip}\t{name}\n" for name, ip in _hosts(spec))
    lines = [f"nameserver {one}" for one in spec.dns_servers]
    if spec.dns_searches:
        lines = [f"search {' '.join(spec.dns_searches)}", *lines]
    if spec.dns_options:
        lines.append(f"options {' '.join(spec.dns_options)}")
    resolv_conf = "".join(f"{line}\n" for line in lines)
    texts = (LOCAL_NAMES + hosts, f"{spec.hostname}\n", resolv_conf)
    return dict(zip(NAME_FILES, texts, strict=True))


def sandbox_body(
    spec: SandboxSpec, cgroup_parent: str, folder: str, *, has_ipv6: bool = True
) -> dict[str, object]:
    """Return the body that creates a pause container, its network namespace not wired yet.

    folder: where its name_files are. The engine gives them to each container that joins it.
    has_ipv6: whether the node's kernel knows it, and so has to be told that the pod has none.
    """
    is_own = not spec.is_host_network
    sysctls = {**(WITHOUT_IPV6 if is_own and has_ipv6 else {}), **spec.sysctls}
    return {
        "Image": spec.image,
        **({"Hostname": spec.hostname, "NetworkDisabled": True} if is_own else {}),
        "Labels": labels_of(spec),
        "HostConfig": _host_config(cgroup_parent)
        | {
            **({"Sysctls": sysctls} if sysctls else {}),
            **(_own_names(spec, folder) if is_own else _nodes_names(spec)),
            "IpcMode": HOST if spec.is_host_ipc else "shareable",
            "CpuShares": CPU_SHARES_MIN,
            "OomScoreAdj": spec.oom_score_adj,
        },
    }


def _own_names(spec: SandboxSpec, folder: str) -> dict[str, object]:
    mounts = [Mount(f"{folder}/{name}", f"/etc/{name}") for name in name_files(spec)]
    return {"NetworkMode": UNWIRED, "Mounts": _mounts(mounts)}


def _nodes_names(spec: SandboxSpec) -> dict[str, object]:
    return {
        "NetworkMode": HOST,
        "UTSMode": HOST,
        "Dns": list(spec.dns_servers),
        "DnsSearch": list(spec.dns_searches),
        "DnsOptions": list(spec.dns_options),
        "ExtraHosts": [f"{name}:{ip}" for name, ip in _hosts(spec)],
    }


def _hosts(spec: SandboxSpec) -> list[tuple[str, str]]:
    return [*sorted(spec.extra_hosts.items()), *spec.host_aliases]


def container_body(spec: ContainerSpec, sandbox_id: str, cgroup_parent: str) -> dict[str, object]:
    """Return the body that creates a container inside its pod's sandbox."""
    shared = f"{SHARED}{sandbox_id}"
    modes = {"NetworkMode": shared, "IpcMode": HOST if spec.is_host_ipc else shared}
    if spec.share_pids or spec.is_host_pid:
        modes["PidMode"] = HOST if spec.is_host_pid else shared
    elif spec.target_id:
        modes["PidMode"] = f"{SHARED}{spec.target_id}"
    if spec.is_host_network:
        # The name of the machine is in no namespace of the network.
        modes["UTSMode"] = HOST
    return {
        "Image": spec.image,
        "Labels": labels_of(spec),
        "Env": [f"{name}={value}" for name, value in sorted(spec.env.items())],
        # Probes are the kubelet's; an image's own health check would only cost.
        "Healthcheck": {"Test": ["NONE"]},
        **({"WorkingDir": spec.working_dir} if spec.working_dir else {}),
        **({"User": spec.security.user} if spec.security.user else {}),
        **_program(spec.command, spec.args),
        **({"OpenStdin": True, "StdinOnce": spec.is_stdin_once} if spec.has_stdin else {}),
        **({"Tty": True} if spec.has_terminal else {}),
        "HostConfig": _host_config(cgroup_parent)
        | _rights(spec.security)
        | modes
        | {"Mounts": _mounts(spec.mounts)}
        | _devices(spec.devices)
        | _limits(spec),
    }


def exec_body(spec: ExecSpec) -> dict[str, object]:
    """Return the body that makes an exec; its streams are those that are asked for."""
    return {
        "Cmd": list(spec.command),
        "AttachStdin": spec.stdin,
        "AttachStdout": spec.stdout,
        "AttachStderr": spec.stderr and not spec.tty,
        "Tty": spec.tty,
        "DetachKeys": DETACH_KEYS,
    }


def attach_target(container_id: str, spec: AttachSpec) -> str:
    """Return the path and query that attach to a container's program, from now on."""
    wanted = {
        "stream": True,
        "stdin": spec.stdin,
        "stdout": spec.stdout,
        "stderr": spec.stderr and not spec.is_terminal,
    }
    fields = [(name, str(int(is_wanted))) for name, is_wanted in wanted.items()]
    query = urlencode([*fields, ("detachKeys", DETACH_KEYS)])
    return f"/containers/{container_id}/attach?{query}"


def _program(command: Sequence[str] | None, args: Sequence[str] | None) -> dict[str, object]:
    """Kubernetes' rule: command replaces ENTRYPOINT and drops CMD, args replaces CMD."""
    if command:
        return {"Entrypoint": list(command), "Cmd": list(args or ())}
    return {"Cmd": list(args)} if args else {}


def _host_config(cgroup_parent: str) -> dict[str, object]:
    return {
        "CgroupParent": cgroup_parent,
        # The kubelet restarts: Docker would put a pause container into a new, empty namespace.
        "RestartPolicy": {"Name": "no"},
        "LogConfig": LOG_CONFIG,
        "SecurityOpt": SECURITY_OPTIONS,
        "CapDrop": CAPABILITIES_DROPPED,
        "PidsLimit": PIDS_MAX,
    }


def _rights(security: Security) -> dict[str, object]:
    added, dropped = list(security.capabilities_added), list(security.capabilities_dropped)
    for name in CAPABILITIES_DROPPED:
        if not {name, "ALL"} & {*added, *dropped}:
            dropped.append(name)
    options = _security_options(security)
    rights: dict[str, object] = {"SecurityOpt": options, "CapDrop": dropped}
    if added:
        rights["CapAdd"] = added
    if security.groups:
        rights["GroupAdd"] = [str(one) for one in security.groups]
    if security.is_root_read_only:
        rights["ReadonlyRootfs"] = True
    if security.is_privileged:
        rights["Privileged"] = True
    return rights


def _security_options(security: Security) -> list[str]:
    options = [] if security.may_gain else list(SECURITY_OPTIONS)
    if security.is_unconfined:
        options.append("seccomp=unconfined")
    elif security.seccomp and not security.is_privileged:
        options.append(f"seccomp={security.seccomp}")
    return options


def _mounts(mounts: Sequence[Mount]) -> list[dict[str, object]]:
    # Mounts, not Binds: a colon in a path is legal here, and a missing source is an error.
    return [
        {"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": m.read_only}
        | ({"BindOptions": {"Propagation": m.propagation}} if m.propagation != PRIVATE else {})
        for m in mounts
    ]


def _devices(files: Sequence[DeviceFile]) -> dict[str, object]:
    """Let a container open these files of devices; the engine knows how each kernel is told."""
    # Rights without `m`: what it may not open, it cannot make itself a file for either.
    asked = [
        {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.rights}
        for one in files
    ]
    return {"Devices": asked} if asked else {}


def _limits(spec: ContainerSpec) -> dict[str, object]:
    limits: dict[str, object] = {
        "CpuShares": cpu_shares_of(spec.cpu_request_milli),
        "OomScoreAdj": spec.oom_score_adj,
    }
    if spec.cpu_limit_milli:
        quota_us = spec.cpu_limit_milli * CPU_PERIOD_US // 1000
        limits["CpuPeriod"] = CPU_PERIOD_US
        limits["CpuQuota"] = max(CPU_QUOTA_US_MIN, quota_us)
    if spec.memory_limit_bytes:
        # Equal to the memory limit: no swap.
        limits["Memory"] = limits["MemorySwap"] = spec.memory_limit_bytes
    return limits


def log_folder(engine_root: str, inspected: Json) -> str:
    """Return the folder of a container's log files; empty where they are not ours to read.

    Containers that were made before this driver was chosen have another.
    """
    config = inspected["HostConfig"].get("LogConfig") or {}
    if config.get("Type") != LOG_DRIVER:
        return ""
    return f"{engine_root}/containers/{inspected['Id']}/local-logs"


def name_of(inspected: Json) -> str:
    """Return the name of a container, as it was created with."""
    return str(inspected["Name"]).removeprefix("/")


def is_ours(inspected: Json) -> bool:
    """True where the container carries the label that the kubelet gives to each of its own."""
    return POD_UID in (inspected["Config"].get("Labels") or {})


def belongs_to(inspected: Json, spec: SandboxSpec | ContainerSpec) -> bool:
    """True where the container is the very one that spec describes, by its labels."""
    found = inspected["Config"].get("Labels") or {}
    wanted = labels_of(spec)
    return all(found.get(key) == wanted[key] for key in (POD_UID, CONTAINER, ATTEMPT, SPEC_HASH))


def marked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body whose container says what it was made of: see is_usable."""
    text = json.dumps(body, sort_keys=True).encode()
    mark = hashlib.sha256(text).hexdigest()[:MARK_CHARS]
    return {**body, "Labels": {**body["Labels"], MADE_OF: mark}}


def is_usable(
    inspected: Json, state: State, spec: SandboxSpec | ContainerSpec, body: Mapping[str, Any]
) -> bool:
    """True where a found container serves as the one that body, which is marked, would create.

    One that was never started must have been made of the same: variables, mounts and devices of
    now, in the sandbox of now. A sandbox must not have ended, since its network namespace ended
    with it.
    """
    if not belongs_to(inspected, spec):
        return False
    if state is State.CREATED:
        return bool(inspected["Config"]["Labels"].get(MADE_OF) == body["Labels"][MADE_OF])
    return state is State.RUNNING or isinstance(spec, ContainerSpec)


def container_from(inspected: Json) -> Container:
    """Return our words for one inspection. What it calls running is still to be checked."""
    labels, state = inspected["Config"].get("Labels") or {}, inspected["State"]
    found, exit_code = _state(state), int(state.get("ExitCode") or 0)
    has_ended = found is State.EXITED
    started_at, finished_at = (
        moment(state.get("StartedAt", "")),
        moment(state.get("FinishedAt", "")),
    )
    if started_at and finished_at:
        # Docker notes the start after the fact: a short life seems to end before it began.
        finished_at = max(started_at, finished_at)
    return Container(
        id=inspected["Id"],
        pod_uid=labels.get(POD_UID, ""),
        pod_name=labels.get(POD_NAME, ""),
        namespace=labels.get(NAMESPACE, ""),
        name=labels.get(CONTAINER, ""),
        attempt=int(labels.get(ATTEMPT) or 0),
        state=found,
        image=inspected["Config"].get("Image", ""),
        image_id=inspected.get("Image", ""),
        spec_hash=labels.get(SPEC_HASH, ""),
        pid=int(state.get("Pid") or 0) if found is State.RUNNING else 0,
        created_at=moment(inspected.get("Created", "")),
        started_at=started_at,
        finished_at=finished_at if has_ended else None,
        exit_code=exit_code if has_ended else 0,
        signal=signal_of(exit_code) if has_ended else 0,
        oom_killed=bool(state.get("OOMKilled")) and has_ended,
        error=state.get("Error", ""),
        sandbox_id=_sandbox_of(inspected),
        held=labels.get(DEVICES, ""),
    )


def _sandbox_of(inspected: Json) -> str:
    """Return the sandbox whose network a container shares."""
    mode = str((inspected.get("HostConfig") or {}).get("NetworkMode") or "")
    return mode.removeprefix(SHARED) if mode.startswith(SHARED) else ""


def _state(state: Json) -> State:
    word = state.get("Status", "")
    if word in {"running", "paused"}:
        return State.RUNNING
    # `restarting` cannot be, by the policy `no`; `removing` and `dead` have ended.
    return State.CREATED if word == "created" else State.EXITED


def signal_of(exit_code: int) -> int:
    """Return the signal that an exit code of 128 + n tells of, else 0 (255 is no signal)."""
    signal = exit_code - 128
    return signal if 1 <= signal <= SIGNAL_MAX else 0


def is_half_down(message: str) -> bool:
    """True where the engine says that it cannot reach its own containerd: nothing is known."""
    return (
        "containerd.sock" in message or "transport:" in message or message.endswith("unavailable")
    )


def moment(text: str) -> datetime | None:
    """Return a time of Docker's in UTC; its zero time (year 1) and no text are None."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def is_newer(version: str, other: str) -> bool:
    """True where API version (`1.41`) is higher than other."""
    return _numbers(version) > _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# What tarfile, what unpacks for it, and json raise of bytes that are cut or are none of theirs.
ARCHIVE_FAULTS = (
    *(KeyError, TypeError, AttributeError, ArithmeticError, EOFError, RecursionError),
    *(tarfile.TarError, lzma.LZMAError, zlib.error, struct.error),
)


def names_in_archive(file: BinaryIO) -> Sequence[str]:
    """Return the names of the images that an archive holds, as `docker save` writes it.

    Raises: ValueError: it is none. OSError.
    """
    try:
        with tarfile.open(fileobj=file) as archive:
            member = archive.extractfile(ARCHIVE_MANIFEST)
            content = member.read(MANIFEST_BYTES_MAX) if member is not None else b"[]"
        return [str(name) for one in json.loads(content) for name in one["RepoTags"] or ()]
    except ARCHIVE_FAULTS as error:
        raise ValueError(f"it is no archive of images: {error}") from error
