"""Which versions of etcd are good enough: a pure check, made once at the start."""

import re

from apiserver.storage.store import StoreError

# 3.4.23 (Debian 12) drops the delete at a compacted revision from watches. Before 3.5.8 an answer
# to a progress request may overtake events (etcd-io/etcd#15220), before 3.5.13 a watch without
# events may never get one (#17566); our caches trust progress, so neither will do.
OLDEST = (3, 5, 13)


class VersionRefused(StoreError):
    """The server is an etcd with known faults that break a promise of ours."""

    def __init__(self, endpoint: str, version: str) -> None:
        oldest = ".".join(map(str, OLDEST))
        super().__init__(
            f"etcd at {endpoint} is version {version}; at least {oldest} is needed, because older"
            " ones lose watch events (run scripts/install-etcd)"
        )
        self.endpoint, self.version = endpoint, version


def check_version(endpoint: str, version: str) -> None:
    """Refuse an etcd that is too old, or whose version cannot be read.

    Raises:
        VersionRefused: says where, which version, and what to do.
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) < OLDEST:
        raise VersionRefused(endpoint, version or "unknown")
