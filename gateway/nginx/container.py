"""nginx in a container of this node's Docker: on its network, read-only, with five capabilities.

The container outlives the gateway's program, and Docker starts it again with itself: the last good
configuration is served whatever becomes of us.
"""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cubernetes.host.exchange import Answer, NoAnswer, exchange
from gateway.nginx.process import ConfigurationRefused, NginxTrouble
from gateway.nginx.text import REQUEST_LOG
from gateway.nginx.tree import CONFIGURATION, CURRENT, FILE, TLS

CALL_S = 10.0
LOAD_S = 120.0
TEST_S = 30.0
STATUS_S = 2.0
STOP_S = 10
MANIFEST_BYTES_MAX = 1 << 20
INSIDE = "/etc/cube-gateway"
SPEC_LABEL = "cubernetes.io/gateway"
# The ports below 1024; workers of another user, their folders, and signals to them.
CAPABILITIES = ("NET_BIND_SERVICE", "SETUID", "SETGID", "CHOWN", "KILL")
GONE, IN_USE = 404, 409


class ContainerNginx:
    """One container by its name, under one Docker."""

    def __init__(self, docker: Path, name: str, image: str, root: Path, status_port: int) -> None:
        self._docker, self._name, self._image = docker, name, image
        self._status = ("127.0.0.1", status_port)
        self._spec = spec_of(image, root)

    async def ensure(self) -> bool:
        found = await self._inspect()
        if found is not None and not await self._is_current(found):
            # Made by another version of us, or of an image that has been built anew since.
            await self.remove()
            found = None
        if found is None:
            labels = {SPEC_LABEL: label_of(self._spec)}
            await self._call(
                "POST", f"/containers/create?name={self._name}", self._spec | {"Labels": labels}
            )
        elif found["State"]["Running"]:
            return False
        await self._call("POST", f"/containers/{self._name}/start")
        return True

    async def has_image(self, layers: Sequence[str] = ()) -> bool:
        """Tell whether Docker has the image; layers, where known, are what it must be made of."""
        found = await self._image_here()
        return found is not None and (not layers or found["RootFS"]["Layers"] == list(layers))

    async def load(self, archive: bytes) -> None:
        """Give Docker the image. Raises: NginxTrouble."""
        answer = await self._ask("POST", "/images/load?quiet=1", archive, LOAD_S)
        # The answer begins before the work ends: a failure may come under a good code.
        if answer.code >= 400 or b'"error"' in answer.body:
            raise NginxTrouble(f"the image was not loaded: {sentence_in(answer)}")

    async def test(self, generation: str) -> None:
        path = f"{INSIDE}/{CONFIGURATION}/{generation}/{FILE}"
        command = ["/usr/sbin/nginx", "-t", "-q", "-c", path]
        wish = {"AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": command}
        made = json.loads(await self._call("POST", f"/containers/{self._name}/exec", wish))
        start = {"Detach": False, "Tty": True}
        said = await self._call("POST", f"/exec/{made['Id']}/start", start, TEST_S)
        ended = json.loads(await self._call("GET", f"/exec/{made['Id']}/json"))
        if ended["Running"] or ended["ExitCode"] is None:
            raise NginxTrouble("nginx -t did not end")
        if ended["ExitCode"]:
            raise ConfigurationRefused(said.decode(errors="replace").strip())

    async def reload(self) -> None:
        await self._call("POST", f"/containers/{self._name}/kill?signal=HUP")

    async def serving(self) -> str:
        try:
            answer = await exchange(self._status, "GET /generation", deadline_s=STATUS_S)
        except NoAnswer:
            return ""
        return answer.body.decode(errors="replace") if answer.code == 200 else ""

    async def request_log(self) -> Path | None:
        found = await self._inspect()
        if found is None or not found["State"]["Running"]:
            return None
        # In memory of the container, which Docker has no name for on this side.
        return Path("/proc", str(found["State"]["Pid"]), "root", REQUEST_LOG.removeprefix("/"))

    async def remove(self) -> None:
        await self._ask("POST", f"/containers/{self._name}/stop?t={STOP_S}", b"", CALL_S + STOP_S)
        answer = await self._ask("DELETE", f"/containers/{self._name}?force=1&v=1")
        if answer.code >= 400 and answer.code != GONE:
            raise NginxTrouble(sentence_in(answer))

    async def remove_image(self) -> None:
        """Take the image away; one that somebody else uses stays. Raises: NginxTrouble."""
        answer = await self._ask("DELETE", f"/images/{quote(self._image)}")
        if answer.code >= 400 and answer.code not in (GONE, IN_USE):
            raise NginxTrouble(sentence_in(answer))

    async def _is_current(self, found: Any) -> bool:
        image = await self._image_here()
        is_ours = found["Config"]["Labels"].get(SPEC_LABEL) == label_of(self._spec)
        return is_ours and (image is None or found["Image"] == image["Id"])

    async def _image_here(self) -> Any:
        return await self._found(f"/images/{quote(self._image)}/json")

    async def _inspect(self) -> Any:
        return await self._found(f"/containers/{self._name}/json")

    async def _found(self, path: str) -> Any:
        answer = await self._ask("GET", path)
        if answer.code == GONE:
            return None
        return json.loads(_good(answer).body)

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        deadline_s: float = CALL_S,
    ) -> bytes:
        content = json.dumps(body).encode() if body is not None else b""
        return _good(await self._ask(method, path, content, deadline_s)).body

    async def _ask(
        self, method: str, path: str, body: bytes = b"", deadline_s: float = CALL_S
    ) -> Answer:
        try:
            return await exchange(self._docker, f"{method} {path}", body, deadline_s=deadline_s)
        except NoAnswer as error:
            raise NginxTrouble(f"Docker: {error}") from error


def sentence_in(answer: Answer) -> str:
    """Return the sentence of a refusal of Docker's."""
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.body.decode(errors="replace").strip()[:500] or f"HTTP {answer.code}"


def layers_in(archive: Path) -> tuple[str, ...]:
    """Return the layers of the image in an archive; none where there is no archive. May block.

    Raises: OSError, NginxTrouble: it is no archive of an image.
    """
    if not archive.exists():
        return ()
    try:
        with tarfile.open(archive) as opened:
            (image,) = _json_in(opened, "manifest.json")
            return tuple(_json_in(opened, image["Config"])["rootfs"]["diff_ids"])
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise NginxTrouble(f"{archive} is no archive of an image: {error}") from error


def _json_in(archive: tarfile.TarFile, name: str) -> Any:
    found = archive.extractfile(name)
    return json.loads(found.read(MANIFEST_BYTES_MAX)) if found is not None else None


def spec_of(image: str, root: Path) -> dict[str, object]:
    """Return what Docker is told of the container."""
    return {
        "Image": image,
        "Cmd": [
            "/usr/sbin/nginx",
            "-g",
            "daemon off;",
            "-c",
            f"{INSIDE}/{CONFIGURATION}/{CURRENT}/{FILE}",
        ],
        # nginx then ends what it has begun.
        "StopSignal": "SIGQUIT",
        "HostConfig": {
            "NetworkMode": "host",
            "RestartPolicy": {"Name": "always"},
            "Binds": [
                f"{root / CONFIGURATION}:{INSIDE}/{CONFIGURATION}:ro",
                f"{root / TLS}:{INSIDE}/{TLS}:ro",
            ],
            "ReadonlyRootfs": True,
            "Tmpfs": {
                "/run": "size=1m,mode=755",
                "/var/lib/nginx": "size=256m,mode=755",
                # Half a minute of 3,000 requests a second: for as long nobody need read it.
                str(Path(REQUEST_LOG).parent): "size=32m,mode=755",
            },
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES),
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        },
    }


def label_of(spec: Mapping[str, object]) -> str:
    """Return a text that is another one for another container."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _good(answer: Answer) -> Answer:
    # 304: it runs already.
    if answer.code >= 400:
        raise NginxTrouble(f"Docker: {sentence_in(answer)}")
    return answer
