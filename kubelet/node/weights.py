"""What files of weights said before this node wrote them: it outlives the kubelet that did."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cubernetes.host.durable.checkedfile import CheckedFile
from cubernetes.host.log import Log

log = Log(__name__)


class Weight(msgspec.Struct, frozen=True):
    """found: what a file said before. ours: what this node has written, the newest last.

    ours begins with what was there as the newest was written: a kubelet may die in between.
    """

    found: str
    ours: tuple[str, ...]


class FoundWeights:
    """kept: None keeps nothing beyond this process. All calls may block."""

    def __init__(self, kept: CheckedFile | None) -> None:
        self._kept = kept
        self._weights: dict[str, Weight] | None = None
        self._is_told = False

    def before(self, file: Path, text: str) -> str | None:
        """Return what a file said before this node wrote it; None where it did not write text."""
        weight = self._loaded().get(str(file))
        return weight.found if weight is not None and text in weight.ours else None

    def writes(self, file: Path, found: str, text: str, wanted: str) -> None:
        """Note that a file, which says text now, is about to be written."""
        ours = tuple(dict.fromkeys((text, wanted)))
        self._save({**self._loaded(), str(file): Weight(found, ours)})

    def gave_back(self, file: Path) -> None:
        """Note that what a file says is not this node's any more."""
        left = dict(self._loaded())
        if left.pop(str(file), None) is not None:
            self._save(left)

    def _loaded(self) -> Mapping[str, Weight]:
        if self._weights is None:
            self._weights = {}
            content = self._kept.load() if self._kept is not None else None
            try:
                if content:
                    self._weights = msgspec.json.decode(content, type=dict[str, Weight])
            except (ValueError, msgspec.DecodeError) as error:
                assert self._kept is not None  # noqa: S101  it gave the content
                self._kept.distrust(error)
        return self._weights

    def _save(self, weights: dict[str, Weight]) -> None:
        """Keep them; a disk that is full keeps no limit from being set, and is told once."""
        self._weights = weights
        if self._kept is None:
            return
        try:
            self._kept.save(msgspec.json.encode(weights))
            self._is_told = False
        except OSError as error:
            if not self._is_told:
                log.warning("weights that were found are not kept", why=error)
            self._is_told = True
