"""What a kubelet tells of logs that have outlived their containers: asked by the API server."""

from cubernetes.api.meta import Model


class KeptLog(Model):
    """The log of one life of a container. made_at: when its pod was made, in seconds since 1970.

    is_default: whether its pod meant this container where nobody names one.
    """

    uid: str
    made_at: int
    container: str
    attempt: int
    is_default: bool = False


class KeptLogList(Model):
    """Of the pods of one name; the newest pods and lives first."""

    items: tuple[KeptLog, ...] = ()
