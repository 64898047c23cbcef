"""Images as files: what `docker save` and `scripts/build-images` write, one archive an image."""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path


class NoImages(Exception):
    """The folder that should hold the images has none, or one that is no image."""


@dataclass(frozen=True)
class Archive:
    """One archive. tags and the image's id are what Docker will call it once it is loaded."""

    tags: tuple[str, ...]
    image_id: str
    content: bytes


def archives_in(folder: Path) -> list[Archive]:
    """Return the archives of a folder, in the order of their names.

    Raises:
        NoImages: there is none, or one cannot be read.
    """
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise NoImages(f"no images in {folder}: scripts/build-images makes them")
    return [_read(path) for path in paths]


def _read(path: Path) -> Archive:
    content = path.read_bytes()
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            member = tar.extractfile("manifest.json")
            listed = [] if member is None else json.load(member)
            (image,) = listed
            digest = Path(image["Config"]).name.removesuffix(".json")
            return Archive(tuple(image["RepoTags"]), f"sha256:{digest}", content)
    except (KeyError, ValueError, tarfile.TarError) as error:
        raise NoImages(f"{path} is not an archive of one image: {error}") from error
