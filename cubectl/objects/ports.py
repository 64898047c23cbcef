"""Which ports `port-forward` means by `8080:80`, `80`, `:80`, `http`: a pod's or a service's."""

from collections.abc import Iterator
from typing import Any

from cubectl.session import Failed, Misused
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.portforward import PORT_MAX, Ports


def ports_of(word: str, pod: Tree, service: Tree | None) -> Ports:
    """Return what a word means; a service's port is that of the pod behind it.

    Raises: Misused, Failed: there is no such port.
    """
    here, colon, there = word.rpartition(":")
    remote = _remote(there, word, pod, service)
    if not colon:
        # A port that is told by name, or by a service, is the service's here, else the pod's.
        return Ports(int(there) if there.isdecimal() else remote, remote)
    return Ports(_number(here, word) if here else 0, remote)


def _remote(text: str, word: str, pod: Tree, service: Tree | None) -> int:
    if service is None:
        return _number(text, word) if text.isdecimal() else _named(text, pod)
    for port in (service.get("spec") or {}).get("ports") or ():
        if text in (str(port.get("port")), port.get("name")):
            target = port.get("targetPort") or port.get("port")
            return target if isinstance(target, int) else _named(str(target), pod)
    name = service["metadata"]["name"]
    raise Failed(f"Service {name} does not have a service port {text}")


def _named(name: str, pod: Tree) -> int:
    for port in _ports_in(pod):
        if port.get("name") == name:
            return int(port["containerPort"])
    raise Failed(f"Pod {pod['metadata']['name']} does not have a port named {name!r}")


def _ports_in(pod: Tree) -> Iterator[Any]:
    for container in (pod.get("spec") or {}).get("containers") or ():
        yield from container.get("ports") or ()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(PORT_MAX))


def _number(text: str, word: str) -> int:
    if not _is_number(text) or not 0 <= int(text) <= PORT_MAX:
        raise Misused(f"{word!r}: a port must be a number from 1 to {PORT_MAX}, such as 8080:80")
    return int(text)
