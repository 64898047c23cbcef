"""What a function imports as `serverless`: the request that it is given and what it may return."""

import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

REQUIRED = object()


class ContentType(enum.StrEnum):
    """Names of usual content types."""

    PLAIN = "text/plain; charset=utf-8"
    HTML = "text/html; charset=utf-8"
    JSON = "application/json"
    XML = "application/xml"
    BYTES = "application/octet-stream"


class Request:
    """One call: `action(req)` is given it.

    call is the id of this call, the same in each attempt; params are the values of the query by
    name, the first of each; variables are what the `{name}`s of the route stand for in the path.
    source is http, kafka, cron or invoke, and origin what is told of it: of kafka topic, partition,
    offset and key, of cron the trigger and the time that was due, of invoke the function and its
    call. deadline is when the call is ended, in seconds of the epoch, as time.time() tells them.
    """

    def __init__(self, head: Mapping[str, Any], body: bytes) -> None:
        self.call: str = head["call"]
        self.method: str = head["method"]
        self.path: str = head["path"]
        self.variables: dict[str, str] = dict(head["variables"])
        self.all_params: dict[str, list[str]] = {}
        for name, value in head["params"]:
            self.all_params.setdefault(name, []).append(value)
        self.params = {name: values[0] for name, values in self.all_params.items()}
        self.headers: dict[str, str] = dict(head["headers"])
        self.timeout_s: float = head["timeout_s"]
        self.deadline: float = head.get("deadline_ms", 0) / 1000
        self.attempt: int = head.get("attempt", 1)
        self.source: str = head.get("source", "http")
        self.origin: dict[str, str] = dict(head.get("origin", {}))
        self._body = body

    def param(self, name: str, default: Any = REQUIRED) -> Any:
        """Return a value of the query, else a variable of the path, else the default.

        Raises: KeyError: it has neither, and no default is given.
        """
        for values in (self.params, self.variables):
            if name in values:
                return values[name]
        if default is REQUIRED:
            raise KeyError(f"the request has no parameter {name!r}")
        return default

    def header(self, name: str, default: str = "") -> str:
        """Return a header field; its name may be in any case."""
        return self.headers.get(name.lower(), default)

    def body(self) -> str:
        return self._body.decode()

    def bytes(self) -> bytes:
        return self._body

    def json(self) -> Any:
        return json.loads(self._body)


class Response:
    """An answer: text, bytes, or anything that JSON can say."""

    def __init__(
        self,
        payload: Any = "",
        http_status: int = 200,
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(http_status, int) or not 200 <= http_status <= 599:
            raise ValueError(f"http_status is {http_status!r}: it must be from 200 to 599")
        self.payload, self.http_status = payload, http_status
        self.content_type = str(content_type)
        self.headers = dict(headers or {})


class Invoke:
    """A function that is to answer in place of this one: `return Invoke("add", {"a": 1})`.

    function: one of the namespace, which `spec.calls` of this one allows. params are what its
    `req.param` gives, anything that JSON can say; body is encoded as that of a Response.
    """

    def __init__(
        self,
        function: str,
        params: Mapping[str, Any] | None = None,
        path: str = "/",
        body: Any = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.function, self.params = str(function), dict(params or {})
        self.path, self.body, self.method = str(path), body, str(method)
        self.headers = dict(headers or {})


class UnfitResult(TypeError):
    """What a function has returned is no answer; says what is one."""


def answer_of(result: object) -> tuple[dict[str, Any], bytes]:
    """Return the head and the body of an answer. Raises: UnfitResult."""
    if isinstance(result, Invoke):
        return _onward(result)
    response = result if isinstance(result, Response) else Response(result)
    usual, body = _encoded(response.payload)
    headers = {str(name): str(value) for name, value in response.headers.items()}
    head = {
        "outcome": "ok",
        "status": response.http_status,
        "content_type": response.content_type or usual,
        "headers": headers,
    }
    return head, body


def _onward(invoke: Invoke) -> tuple[dict[str, Any], bytes]:
    media, body = _encoded(invoke.body)
    headers = {str(name).lower(): str(value) for name, value in invoke.headers.items()}
    if body:
        headers.setdefault("content-type", media)
    params = [[str(name), value] for name, value in invoke.params.items()]
    try:
        json.dumps(params)
    except (TypeError, ValueError) as error:
        raise UnfitResult(f"params of Invoke cannot be written as JSON: {error}") from error
    onward = {
        "function": invoke.function,
        "method": invoke.method,
        "path": invoke.path,
        "params": params,
        "headers": headers,
    }
    return {"outcome": "onward", "onward": onward}, body


def _encoded(payload: object) -> tuple[str, bytes]:
    match payload:
        case None:
            return ContentType.PLAIN, b""
        case str():
            return ContentType.PLAIN, payload.encode()
        case bytes() | bytearray() | memoryview():
            return ContentType.BYTES, bytes(payload)
        case Mapping() | Sequence() | bool() | int() | float():
            try:
                return ContentType.JSON, json.dumps(payload).encode() + b"\n"
            except (TypeError, ValueError) as error:
                raise UnfitResult(f"the result cannot be written as JSON: {error}") from error
        case _:
            raise UnfitResult(
                f"the result is a {type(payload).__name__}: return a Response, an Invoke, text, "
                "bytes, or what JSON can say; streams are not built yet"
            )
