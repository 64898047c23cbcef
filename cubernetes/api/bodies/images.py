"""What a kubelet tells of the images on its node: asked by `cuberoot images gc --dry-run`."""

from typing import Literal

from cubernetes.api.meta import Model

Goes = Literal["now", "later", "no"]


class ImageReport(Model):
    """goes: now; later, once more room is wanted; or no.

    why: what keeps it, empty where it goes now.
    """

    name: str
    size_bytes: int
    goes: Goes
    why: str = ""


class ImagesReport(Model):
    """Bytes of the disk. wanted_bytes: how much is to be freed now. images: the first to go first.

    left_out: how many images more are not told of, since there are too many.
    """

    used_bytes: int
    total_bytes: int
    wanted_bytes: int = 0
    images: tuple[ImageReport, ...] = ()
    left_out: int = 0
