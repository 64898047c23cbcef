"""A tiny image registry on loopback: enough of the protocol for a pull, and its failures."""

import asyncio
import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class _Content:
    manifest: bytes
    blobs: dict[str, bytes]


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _content(name: str) -> _Content:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        entry = tarfile.TarInfo("name")
        entry.size = len(name)
        tar.addfile(entry, io.BytesIO(name.encode()))
    layer = gzip.compress(held.getvalue(), mtime=0)
    rootfs = {"type": "layers", "diff_ids": [_digest(held.getvalue())]}
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]}, "rootfs": rootfs}
    ).encode()

    def described(kind: str, blob: bytes) -> dict[str, object]:
        return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}

    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, config)}
    whole = json.dumps(manifest | {"layers": [described(LAYER, layer)]}).encode()
    return _Content(whole, {_digest(blob): blob for blob in (config, layer)})


@asynccontextmanager
async def tiny_registry(login: tuple[str, str] | None = None) -> AsyncGenerator[str, None]:
    """Yield its `host:port`. It has `hello:1`, `guarded:1`, and `stuck:1`, whose layers never come.

    login: the user name and the password without which it tells nothing, by HTTP's basic scheme.
    """
    images = {name: _content(name) for name in ("hello", "guarded", "stuck")}

    async def manifest(request: web.Request) -> web.Response:
        content = images[request.match_info["name"]]
        if request.match_info["reference"] not in {"1", _digest(content.manifest)}:
            problem = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(problem, status=404)
        digest = {"Docker-Content-Digest": _digest(content.manifest)}
        return web.Response(body=content.manifest, content_type=MANIFEST, headers=digest)

    async def blob(request: web.Request) -> web.Response:
        if request.match_info["name"] == "stuck":
            await asyncio.sleep(60)
        content = images[request.match_info["name"]]
        return web.Response(body=content.blobs[request.match_info["digest"]])

    async def root(_: web.Request) -> web.Response:
        return web.json_response({})

    basic = base64.b64encode(":".join(login or ()).encode()).decode()

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if login is None or request.headers.get("Authorization") == f"Basic {basic}":
            return await handler(request)
        problem = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        asked = {"WWW-Authenticate": 'Basic realm="tiny"'}
        return web.json_response(problem, status=401, headers=asked)

    app = web.Application(middlewares=[guarded])
    app.router.add_get("/v2/", root)
    app.router.add_get("/v2/{name}/manifests/{reference}", manifest)
    app.router.add_get("/v2/{name}/blobs/{digest}", blob)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
