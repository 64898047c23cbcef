"""What is asked of a target, and what it answers: plain values. Pure."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cubernetes.api.core.node import Node
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.host.web.duplex import Duplex


class Unreached(ServiceUnavailable):
    """A target was not connected to: nothing of the request was sent."""


type Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: a port of a pod through its kubelet, or (path empty) the kubelet itself.

    path: of the kubelet, which leads to the port. is_tls: what answers there speaks HTTPS.
    """

    node: Node
    path: str = ""
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a target. line: its path and query, encoded. body: as it comes; None: none."""

    method: str
    line: str
    fields: Fields
    body: AsyncIterator[bytes] | None = None


class AnswerBody(Protocol):
    """What follows the head. Raises: ApiError: it breaks off."""

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Give the connection back; repeatable."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answers. far: the connection, where it agreed to switch (101).

    The consumer of the body closes it (`aclose`), also where it reads nothing of it.
    """

    status: int
    fields: Fields
    body: AnswerBody
    far: Duplex[bytes, bytes] | None = None
