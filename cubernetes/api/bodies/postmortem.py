"""What a kubelet keeps of containers that ended otherwise than well: asked by the API server."""

from datetime import datetime

from cubernetes.api.meta import Model


class PostMortem(Model):
    """The end of one life of a container.

    made_at: when its pod was made, in seconds since 1970. story: what was known of the end, and
    whose limit it was. log: the last lines that it wrote, the oldest first.
    """

    uid: str
    made_at: int
    container: str
    attempt: int
    ended_at: datetime | None = None
    exit_code: int = 0
    signal: int = 0
    story: str = ""
    log: tuple[str, ...] = ()


class PostMortemList(Model):
    """Of the pods of one name; the newest pods and lives first.

    silent: nodes that were asked and did not answer. omitted: how many older ones the answer has
    no room for.
    """

    items: tuple[PostMortem, ...] = ()
    silent: tuple[str, ...] = ()
    omitted: int = 0
