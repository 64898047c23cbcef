"""How far a pull is, by what the engine says of each layer. Pure.

The engine names every layer before it fetches the first one, and a layer's size when it begins it:
until then only its share of the count is known. So the percentage is the mean over the layers,
which never goes back, and the bytes are those that have come.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

HERE = frozenset({"Download complete", "Pull complete", "Already exists", "Verifying Checksum"})
UNPACKED = frozenset({"Pull complete", "Already exists"})
LAYERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Layer:
    fetched_bytes: int = 0
    share: float = 0.0
    is_unpacked: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """The layers of one pull by their ids, as far as they are known."""

    layers: tuple[tuple[str, Layer], ...] = ()

    @property
    def percent(self) -> int | None:
        """Return the part of the image that has come; None: nothing is known of it yet."""
        if not self.layers:
            return None
        return int(100 * sum(one.share for _, one in self.layers) / len(self.layers))

    @property
    def text(self) -> str:
        """Return how far it is, for people; empty where nothing is known."""
        percent = self.percent
        if percent is None:
            return ""
        if percent == 100:
            done_count = sum(one.is_unpacked for _, one in self.layers)
            return f"100%, {done_count} of {len(self.layers)} layers unpacked"
        mebibytes = sum(one.fetched_bytes for _, one in self.layers) / (1 << 20)
        return f"{percent}%, {mebibytes:.1f} MiB fetched"


def after_line(before: Progress, line: Mapping[str, Any]) -> Progress:
    """Return what is known after another line of the engine's."""
    name, status = line.get("id"), line.get("status")
    layers = dict(before.layers)
    is_layer = status in HERE or status in ("Pulling fs layer", "Waiting", "Downloading")
    if not isinstance(name, str) or (not is_layer and name not in layers):
        return before
    if name not in layers and len(layers) >= LAYERS_MAX:
        return before
    layers[name] = _layer(layers.get(name, Layer()), str(status), line.get("progressDetail"))
    return Progress(tuple(layers.items()))


def _layer(before: Layer, status: str, detail: object) -> Layer:
    if status in HERE:
        return replace(before, share=1.0, is_unpacked=status in UNPACKED)
    if status != "Downloading" or not isinstance(detail, dict):
        return before
    current, total = detail.get("current"), detail.get("total")
    if not isinstance(current, int) or current < 0:
        return before
    share = before.share
    if isinstance(total, int) and total > 0:
        share = max(share, min(1.0, current / total))
    return replace(before, fetched_bytes=max(before.fetched_bytes, current), share=share)
