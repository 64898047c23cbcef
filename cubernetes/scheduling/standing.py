"""What a pod is worth beside others: its priority, and since when it is there."""

from typing import NamedTuple

from cubernetes.api.core.pod import Pod


class Standing(NamedTuple):
    """priority, and since when, in seconds of the epoch; key: its namespace and name."""

    priority: int = 0
    since_s: float = 0.0
    key: tuple[str, str] = ("", "")


ORDINARY = Standing()


def standing_of(pod: Pod) -> Standing:
    meta = pod.metadata
    at = pod.status.start_time or meta.creation_timestamp
    since_s = at.timestamp() if at is not None else 0.0
    return Standing(pod.spec.priority or 0, since_s, (meta.namespace, meta.name))
