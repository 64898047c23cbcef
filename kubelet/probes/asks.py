"""Asks containers of this node: by HTTP, TCP and gRPC, and by commands in them."""

import asyncio
import ssl
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from cubernetes.api.core.podspec.probes.actions import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
)
from cubernetes.host.web.duplex import Broken
from kubelet.probes import grpcwords, httpwords
from kubelet.probes.driver import Answer, Question, Unanswered, port_number
from kubelet.probes.httpwords import Target
from kubelet.runtime.driver import ExecSpec, Execution, RuntimeDriver, RuntimeTrouble

OUTPUT_BYTES_MAX = 10 * 1024  # of a command, as in Kubernetes


FAILURES = (
    OSError, UnicodeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError,
    httpwords.Malformed, grpcwords.Malformed,
)  # fmt: skip


class Destination(NamedTuple):
    """Where a question goes. target: of a request of HTTP."""

    host: str
    port: int
    target: Target | None = None

    def __str__(self) -> str:
        return f'Get "{self.target.url}"' if self.target else f"dial tcp {self.host}:{self.port}"


class NodeAsker:
    """Asks from this node, in its own network."""

    def __init__(self, runtime: RuntimeDriver) -> None:
        self._runtime = runtime

    async def ask(self, question: Question) -> Answer:
        if isinstance(question.action, ExecAction):
            return await self._execute(question, question.action)
        place = _place_of(question)
        try:
            async with asyncio.timeout(question.timeout_s):
                return await _asked(question, place)
        except TimeoutError:
            told = f"{place}: no answer within {question.timeout_s:g}s"
        except FAILURES as error:
            told = f"{place}: {_why(error)}"
        return Answer(is_success=False, told=told)

    async def _execute(self, question: Question, action: ExecAction) -> Answer:
        execution: Execution | None = None
        try:
            async with asyncio.timeout(question.timeout_s):
                spec = ExecSpec(action.command)
                execution = await self._runtime.exec(question.container_id, spec)
                output = await _output(execution)
                code = await execution.exit_code()
        except TimeoutError:
            return _too_slow(question)
        except (RuntimeTrouble, Broken) as error:
            raise Unanswered(str(error)) from error
        finally:
            if execution is not None:
                with suppress(RuntimeTrouble):
                    await execution.end()
        text = output.decode(errors="replace").strip()
        return Answer(code == 0, text or (f"exit code {code}" if code else ""))


def _place_of(question: Question) -> Destination:
    """Return where a question goes. Raises: Unanswered: nowhere."""
    action = question.action
    assert not isinstance(action, ExecAction)  # noqa: S101  a command goes to no port
    host = question.address if isinstance(action, GRPCAction) else action.host or question.address
    port = port_number(action.port, question.wanted)
    if port is None:
        raise Unanswered(f"couldn't find port: {action.port}")
    if not host:
        raise Unanswered("the pod has no address")
    if isinstance(action, HTTPGetAction):
        return Destination(host, port, httpwords.target_of(action, host, port))
    return Destination(host, port)


async def _asked(question: Question, place: Destination) -> Answer:
    match question.action:
        case HTTPGetAction() as action if place.target is not None:
            return await _get(action, place.target, question.takes_any_code)
        case GRPCAction(service=service):
            return await _check_health(service, place)
        case _:
            await _connect(place)
            return Answer(is_success=True)


async def _output(execution: Execution) -> bytes:
    """Return the beginning of what a command writes, once it has written all."""
    kept = b""
    while (output := await execution.read()) is not None:
        kept = (kept + output.text)[:OUTPUT_BYTES_MAX]
    return kept


def _too_slow(question: Question) -> Answer:
    told = f"command timed out: {question.subject!r} timed out after {question.timeout_s:g}s"
    return Answer(is_success=False, told=told)


async def _get(action: HTTPGetAction, target: Target, takes_any_code: bool) -> Answer:
    for _ in range(httpwords.REDIRECTS_MAX + 1):
        head = await _head(target, action)
        if not 200 <= head.code < 400 and not takes_any_code:
            told = f"HTTP probe failed with statuscode: {head.code}"
            return Answer(is_success=False, told=told)
        if not (300 <= head.code < 400 and head.location):
            return Answer(is_success=True)
        onward = httpwords.redirected(target, head.location)
        if onward is None:
            return Answer(is_success=True, told=f"Probe terminated redirects at {head.location}")
        target = onward
    told = f'Get "{target.url}": stopped after {httpwords.REDIRECTS_MAX} redirects'
    return Answer(is_success=False, told=told)


async def _head(target: Target, action: HTTPGetAction) -> httpwords.Head:
    tls = _unverified() if target.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=tls, limit=httpwords.HEAD_BYTES_MAX
    )
    try:
        writer.write(httpwords.request_bytes(target, action))
        return httpwords.head_of(await reader.readuntil(b"\r\n\r\n"))
    finally:
        writer.transport.abort()


async def _connect(place: Destination) -> None:
    _, writer = await asyncio.open_connection(place.host, place.port)
    writer.close()


async def _check_health(service: str, place: Destination) -> Answer:
    reader, writer = await asyncio.open_connection(place.host, place.port)
    reading, buffer = grpcwords.Reading(), bytearray()
    try:
        writer.write(grpcwords.request_bytes(f"{place.host}:{place.port}", service))
        while not reading.is_over and (piece := await reader.read(grpcwords.FRAME_BYTES_MAX)):
            buffer += piece
            for frame in grpcwords.frames_in(buffer):
                reading = grpcwords.after(reading, frame)
            writer.write(reading.reply)
            reading = reading._replace(reply=b"")
    finally:
        writer.transport.abort()
    serving = grpcwords.serving_of(reading.message)
    if serving is None:
        told = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Answer(is_success=False, told=f"error: {told}, or refused {service!r}")
    is_success = serving is grpcwords.Serving.SERVING
    return Answer(is_success, "" if is_success else f"service unhealthy: {serving.name}")


@cache
def _unverified() -> ssl.SSLContext:
    """As Kubernetes: a probe asks whether there is an answer, not who gives it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "EOF"
    return str(getattr(error, "strerror", None) or error)
