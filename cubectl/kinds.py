"""The kinds that the cluster has: asked of its discovery, kept in a file for a while.

A word that no kept kind answers to is asked for once more before it is refused, so that a kind
that came since is found at once. A file that cannot be kept, or read, costs requests and nothing
else.
"""

import json
import os
from binascii import crc32
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from cubernetes.api.resource import Resource
from cubernetes.client.wire.catalog import (
    Catalog,
    Malformed,
    document_of,
    kept_in,
    resources_in,
    roots_in,
)

AGE_S_MAX = 600.0
SIZE_BYTES_MAX = 1024 * 1024
FORMAT = 1  # of the file: of another one nothing is read

type Ask = Callable[[str], dict[str, Any]]


class KindsCache(NamedTuple):
    """Where kinds are kept. cluster tells two clusters apart that had one address in turn."""

    path: str
    cluster: int


def place_for(environment: Mapping[str, str], server: str, ca: bytes) -> KindsCache | None:
    """Return where the kinds of a cluster are kept, beside kubectl's; None without a home."""
    home = environment.get("HOME", "")
    folder = environment.get("KUBECACHEDIR", "") or (home and f"{home}/.kube/cache")
    if not folder:
        return None
    name = "".join(one if one.isalnum() or one in ".-" else "_" for one in server[:100])
    return KindsCache(f"{folder}/cubectl/{name}.json", crc32(server.encode(errors="replace") + ca))


class Kinds:
    """Answers what a word means; asks the server, or its file, when first needed."""

    def __init__(self, ask: Ask, place: KindsCache | None, now: Callable[[], datetime]) -> None:
        self._ask, self._place, self._now = ask, place, now
        self._catalog: Catalog | None = None
        self._is_fresh = False

    @property
    def catalog(self) -> Catalog:
        """What is known now, without asking anew. Raises: Malformed, ApiError, Unreachable."""
        if self._catalog is None:
            self._catalog = self._kept() or self._asked()
        return self._catalog

    def find[T](self, look: Callable[[Catalog], T]) -> T:
        """Return what look finds; where it finds nothing in kept kinds, let it look at new ones."""
        found = look(self.catalog)
        if not found and not self._is_fresh:
            self._catalog = self._asked()
            found = look(self._catalog)
        return found

    def _asked(self) -> Catalog:
        roots = roots_in(self._ask("/apis"))
        found = [one for root in roots for one in resources_in(self._ask(root))]
        self._is_fresh = True
        with suppress(OSError):  # a disk that takes nothing: asked again the next time
            self._keep(found)
        return Catalog(found)

    def _kept(self) -> Catalog | None:
        """Return the kinds of the file; None where it is absent, old, or another cluster's."""
        if self._place is None:
            return None
        try:
            with open(self._place.path, "rb") as file:
                tree = json.loads(file.read(SIZE_BYTES_MAX))
            age_s = self._now().timestamp() - float(tree["at"])
            is_ours = (tree["format"], tree["cluster"]) == (FORMAT, self._place.cluster)
            if not is_ours or not 0 <= age_s <= AGE_S_MAX:
                return None
            return Catalog(kept_in(tree["kinds"]))
        except (OSError, ValueError, TypeError, KeyError, Malformed):
            return None

    def _keep(self, found: list[Resource]) -> None:
        """Write the file whole or not at all: another cubectl may read it now."""
        if self._place is None:
            return
        tree = {
            "format": FORMAT,
            "cluster": self._place.cluster,
            "at": self._now().timestamp(),
            "kinds": document_of(found),
        }
        os.makedirs(os.path.dirname(self._place.path), mode=0o700, exist_ok=True)
        part = f"{self._place.path}.{os.getpid()}"
        with open(part, "w", encoding="utf-8") as file:
            json.dump(tree, file)
        os.replace(part, self._place.path)
