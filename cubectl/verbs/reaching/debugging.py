"""What looks into a pod or a node: a container that is added, a copy, or a pod of its own.

Profiles are kubectl's, and say the same things of containers as there.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cubectl.objects.containers import with_images
from cubernetes.api.notation.jsontext import Tree

TOOLS = "cubernetes/tools:1"
PROFILES = ("general", "baseline", "restricted", "netadmin", "sysadmin", "legacy")
# Of the profiles, those that give the node's own namespaces, and those that give its files.
HOST_NAMESPACES = frozenset({"general", "legacy", "netadmin", "sysadmin"})
HOST_FILES = frozenset({"general", "legacy", "sysadmin"})
HOST_ROOT = "host-root"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
_RIGHTS: Mapping[str, Tree] = {
    "general": {"capabilities": {"add": ["SYS_PTRACE"]}},
    "netadmin": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
    "sysadmin": {"privileged": True},
    "restricted": {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for. target: whose processes it shares; empty for none."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    is_arguments: bool = False  # the words are arguments of the image's own program
    env: tuple[tuple[str, str], ...] = ()
    pull_policy: str = ""
    profile: str = "general"
    target: str = ""
    has_stdin: bool = False
    has_terminal: bool = False


def rights_of(profile: str) -> Tree:
    """Return the securityContext of a profile; empty where it says nothing."""
    return copy.deepcopy(_RIGHTS.get(profile, {}))


def container_of(wanted: Wanted) -> Tree:
    """Return the container that is asked for."""
    one: Tree = {
        "name": wanted.name,
        "image": wanted.image,
        "terminationMessagePolicy": "File",
        "stdin": wanted.has_stdin,
        "tty": wanted.has_terminal,
    }
    if wanted.pull_policy:
        one["imagePullPolicy"] = wanted.pull_policy
    if wanted.command:
        one["args" if wanted.is_arguments else "command"] = list(wanted.command)
    if wanted.env:
        one["env"] = [{"name": name, "value": value} for name, value in wanted.env]
    if rights := rights_of(wanted.profile):
        one["securityContext"] = rights
    return one


def ephemeral_of(wanted: Wanted) -> Tree:
    """Return the ephemeral container that is asked for."""
    target = {"targetContainerName": wanted.target} if wanted.target else {}
    return container_of(wanted) | target


def copied(
    pod: Tree,
    name: str,
    wanted: Wanted,
    images: Mapping[str, str],
    *,
    is_sharing: bool,
    is_same_node: bool = False,
) -> Tree:
    """Return a copy of a pod, to be looked into: nobody's, and led to by no service.

    A container that has the name which is asked for gets what is asked for; else one is added,
    where there is an image for it. images: other images, by container, `*` for all.

    Raises: Failed: images names a container that is not there.
    """
    spec = copy.deepcopy(pod["spec"])
    spec.pop("ephemeralContainers", None)
    if not is_same_node:
        spec.pop("nodeName", None)
    if is_sharing and not spec.get("hostPID"):
        spec["shareProcessNamespace"] = True
    spec["containers"] = [
        {key: value for key, value in one.items() if key not in PROBES}
        for one in spec["containers"]
    ]
    _put(spec["containers"], wanted)
    meta = {"name": name, "namespace": pod["metadata"].get("namespace", "")}
    made: Tree = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    return with_images(made, images) if images else made


def _put(containers: list[Any], wanted: Wanted) -> None:
    """Change the container of the wanted name, or add one."""
    one = container_of(wanted)
    for index, before in enumerate(containers):
        if before["name"] == wanted.name:
            changes = {key: value for key, value in one.items() if value}
            if wanted.command:
                before = {k: v for k, v in before.items() if k not in ("command", "args")}
            containers[index] = {**before, **changes}
            return
    if wanted.image:
        containers.append(one)


def node_pod(node: str, namespace: str, wanted: Wanted) -> Tree:
    """Return a pod that looks into a node: in its namespaces, with its files under /host."""
    one = container_of(wanted)
    spec: Tree = {
        "nodeName": node,
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
        "containers": [one],
    }
    if wanted.profile in HOST_NAMESPACES:
        spec |= {"hostNetwork": True, "hostPID": True, "hostIPC": True}
    if wanted.profile in HOST_FILES:
        spec["volumes"] = [{"name": HOST_ROOT, "hostPath": {"path": "/"}}]
        one["volumeMounts"] = [{"name": HOST_ROOT, "mountPath": "/host"}]
    meta = {"generateName": f"node-debugger-{node}-", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
