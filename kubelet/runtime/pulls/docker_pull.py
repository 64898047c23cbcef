"""Fetching images: a pull, watched for progress, its errors read."""

import asyncio
import base64
import json
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import aclosing, suppress
from urllib.parse import quote

from kubelet.runtime.docker_api import DockerApi, EngineError, Silent
from kubelet.runtime.docker_stream import Lines
from kubelet.runtime.docker_words import (
    Json,
    NotAReference,
    image_names,
    image_reference,
)
from kubelet.runtime.driver import LocalImage, Login, RuntimeTrouble
from kubelet.runtime.pulls.docker_progress import Progress, after_line

PULL_SILENCE_S = 120.0  # an engine that fetches tells of progress several times a second
PULL_MAX_S = 3600.0
REMOVE_DEADLINE_S = 60.0
LOAD_MAX_S = 600.0


class Pulls:
    """The images of one engine."""

    def __init__(self, api: DockerApi, silence_s: float = PULL_SILENCE_S) -> None:
        self._api, self._silence_s = api, silence_s

    async def image_id(self, image: str) -> str | None:
        """Return the id of a local image, or None where it is not here."""
        found = await self._inspected(image)
        return str(found["Id"]) if found is not None else None

    async def images(self) -> Sequence[LocalImage]:
        """Return the images that are here and have names."""
        try:
            found: Sequence[Json] = await self._api.call("GET", "/images/json")
        except EngineError as refused:
            raise RuntimeTrouble("ImageInspectError", str(refused)) from refused
        images = [
            LocalImage(image_names(one), int(one.get("Size") or 0), str(one["Id"])) for one in found
        ]
        return [one for one in images if one.names]

    async def remove_image(self, image: LocalImage) -> None:
        """Remove an image by its id: the engine keeps one that a container has, with its names.

        Asked by a name, it takes that name from an image with others before it looks.
        """
        path = f"/images/{quote(image.id)}"
        try:
            await self._api.call("DELETE", path, deadline_s=REMOVE_DEADLINE_S)
        except EngineError as refused:
            if refused.status != 404:
                raise RuntimeTrouble("ImageRemoveError", str(refused)) from refused

    async def image_user(self, image: str) -> str:
        """Return as whom a local image's program would run; empty is root."""
        found = await self._inspected(image)
        if found is None:
            raise RuntimeTrouble("ImageInspectError", f"{image} is not on this node")
        return str((found.get("Config") or {}).get("User") or "")

    async def _inspected(self, image: str) -> Json | None:
        _checked(image)
        try:
            found: Json = await self._api.call("GET", f"/images/{image}/json")
        except EngineError as refused:
            if refused.status == 404:
                return None
            # The engine knows rules of names that ours leaves out.
            reason = "InvalidImageName" if refused.status == 400 else "ImageInspectError"
            raise RuntimeTrouble(reason, f"{image}: {refused}") from refused
        return found

    async def pull(self, image: str, login: Login | None, tell: Callable[[str], None]) -> str:
        """Fetch image and return its id."""
        name, tag = _checked(image)
        try:
            async with asyncio.timeout(PULL_MAX_S):
                await self._fetch(image, {"fromImage": name, "tag": tag}, login, tell)
        except EngineError as refused:
            reason = "InvalidImageName" if refused.status == 400 else "ErrImagePull"
            raise RuntimeTrouble(reason, _said(image, str(refused), login)) from None
        except Silent as silent:
            said = f"{image}: no progress for {self._silence_s:.0f} s"
            raise RuntimeTrouble("ErrImagePull", said) from silent
        except TimeoutError as error:
            said = f"{image}: not complete after {PULL_MAX_S:.0f} s"
            raise RuntimeTrouble("ErrImagePull", said) from error
        found = await self.image_id(image)
        if found is None:
            raise RuntimeTrouble("ErrImagePull", f"{image} was pulled, but is not there")
        return found

    async def load(self, archive: AsyncIterable[bytes]) -> None:
        """Hand an archive on; Docker answers 200 and tells of a failure in a later line."""
        try:
            said = await self._api.upload("/images/load", {"quiet": "1"}, archive, LOAD_MAX_S)
        except EngineError as refused:
            raise RuntimeTrouble("ErrImagePull", f"an archive: {refused}") from refused
        except Silent as silent:
            late = f"an archive: not loaded after {LOAD_MAX_S:.0f} s"
            raise RuntimeTrouble("ErrImagePull", late) from silent
        for line in said.splitlines():
            with suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and "error" in told:
                    raise RuntimeTrouble("ErrImagePull", f"an archive: {told['error']}")

    async def _fetch(
        self,
        image: str,
        query: dict[str, str],
        login: Login | None,
        tell: Callable[[str], None],
    ) -> None:
        """Read the pull to its end: Docker answers 200 and tells of a failure in a later line."""
        lines, progress = Lines(), Progress()
        headers = {} if login is None else {"X-Registry-Auth": auth_header(login)}
        async with aclosing(
            self._api.stream(
                "POST", "/images/create", query=query, headers=headers, silence_s=self._silence_s
            )
        ) as pieces:
            async for piece in pieces:
                for line in lines.feed(piece):
                    if "error" in (told := json.loads(line)):
                        # What Docker says may name a host, and never the image.
                        raise RuntimeTrouble(
                            "ErrImagePull", _said(image, str(told["error"]), login)
                        )
                    progress = after_line(progress, told)
                tell(progress.text)


def auth_header(login: Login) -> str:
    """Return a login as the engine takes it: JSON in base64 that fits a URL."""
    text = json.dumps({"username": login.username, "password": login.password})
    return base64.urlsafe_b64encode(text.encode()).decode()


def _said(image: str, said: str, login: Login | None) -> str:
    """Return the engine's sentence with the image's name; a registry may have quoted a password."""
    if login is not None and login.password:
        said = said.replace(login.password, "[password]")
    return f"{image}: {said}"


def _checked(image: str) -> tuple[str, str]:
    try:
        return image_reference(image)
    except NotAReference as error:
        raise RuntimeTrouble("InvalidImageName", str(error)) from error
