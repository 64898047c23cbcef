"""How a container is asked, in the kubelet's words: a small interface, answered by the node."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.probes.actions import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    TCPSocketAction,
)
from cubernetes.api.core.podspec.probes.probe import LifecycleHandler, Probe

type Action = ExecAction | HTTPGetAction | TCPSocketAction | GRPCAction


class Answer(NamedTuple):
    """told: why it is none that is hoped for; of a success, a warning or nothing."""

    is_success: bool
    told: str = ""


class Unanswered(Exception):
    """The question could not be asked at all: it says nothing of the container."""


@dataclass(frozen=True, slots=True)
class Question:
    """One action on one container of a pod, with a deadline for the whole of it."""

    pod_name: str
    container_id: str
    wanted: Wanted
    address: str  # the pod's
    action: Action
    timeout_s: float
    takes_any_code: bool = False  # of HTTP, as a hook does

    @property
    def subject(self) -> str:
        """What is asked, in short: the path, the port, the service or the command."""
        match self.action:
            case HTTPGetAction(path=path):
                return path
            case TCPSocketAction(port=port):
                return str(port)
            case GRPCAction(service=service):
                return service
            case ExecAction(command=command):
                return " ".join(command)


class Asker(Protocol):
    async def ask(self, question: Question) -> Answer:
        """Ask once; an answer that does not come in time is a failure.

        Raises: Unanswered.
        """
        ...


def action_of(one: Probe | LifecycleHandler) -> Action | None:
    """Return the way that is set; None: it is none that asks (a sleep)."""
    ways: list[Action | None] = [one.exec, one.http_get]
    if isinstance(one, Probe):
        ways += [one.tcp_socket, one.grpc]
    return next((way for way in ways if way is not None), None)


def port_number(port: int | str, wanted: Wanted) -> int | None:
    """Return the number of a port of a container; None: it has no port of that name."""
    if isinstance(port, int):
        return port
    return next((one.container_port for one in wanted.ports if one.name == port), None)
