"""A subresource as a value: its methods, and what they take and give."""

from collections.abc import Mapping
from typing import NamedTuple

from apiserver.call import Handler
from apiserver.wire.parameters import Parameter
from cubernetes.api.meta import Model


class Method(NamedTuple):
    """One HTTP method: the verb by which it is authorized, and what carries it out.

    parameters: those of its query; None: those that the verb has everywhere.
    refused: parameters that Kubernetes has there and this server has not, each with a value that
        asks for nothing.
    answer: what it answers with; None: the subresource's model.
    """

    method: str
    verb: str
    handler: Handler
    parameters: tuple[Parameter, ...] | None = None
    answer: type[Model] | None = None
    refused: Mapping[str, str] = {}


class Subresource(NamedTuple):
    """What the kinds that list its name have below each object.

    model: what is read and written there; None: the object itself.
    media: of its answers. is_stream: what is sent and answered is not the server's own.
    is_relayed: bodies go through as they come, and every path below it is the target's. The name of
    the object may say how it is reached: `https:web:8443`.
    """

    name: str
    methods: tuple[Method, ...]
    model: type[Model] | None = None
    media: str = "application/json"
    is_stream: bool = False
    is_relayed: bool = False
