"""The parameters of each verb, as the pairs of a query: said once for every client. Pure."""

from collections.abc import Sequence

type Query = Sequence[tuple[str, str]]


def selection_query(labels: str, fields: str) -> Query:
    """Return which objects of a kind are meant; empty selectors are all of them."""
    return _said(("labelSelector", labels), ("fieldSelector", fields))


def list_query(
    selection: Query = (), *, revision: str | None = None, limit: int = 0, proceed: str = ""
) -> Query:
    """Return how a list, or one page of it, is asked for.

    revision None is the newest; otherwise any that is not older. limit 0 is all; proceed is the
    `continue` of the page before.
    """
    dated = revision is not None
    return [
        *selection,
        *_said(
            ("resourceVersion", revision or "", dated),
            ("resourceVersionMatch", "NotOlderThan", dated),
            ("limit", str(limit), limit > 0),
            ("continue", proceed),
        ),
    ]


def watch_query(selection: Query, revision: str, timeout_s: int) -> Query:
    """Return how the changes after a revision are asked for, with bookmarks."""
    return [
        ("watch", "true"),
        ("resourceVersion", revision),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(timeout_s)),
        *selection,
    ]


def log_query(  # noqa: PLR0913  the API's own parameters
    *,
    container: str = "",
    follow: bool = False,
    tail: int | None = None,
    previous: bool = False,
    life: int | None = None,
    deleted: bool = False,
    post_mortem: bool = False,
    timestamps: bool = False,
    since_s: int | None = None,
    since_time: str = "",
    limit_bytes: int | None = None,
    stream: str = "",
) -> Query:
    """Return what of a container's log is asked for."""
    return _said(
        ("container", container),
        ("follow", "true", follow),
        ("previous", "true", previous),
        ("life", str(life), life is not None),
        ("deleted", "true", deleted),
        ("postMortem", "true", post_mortem),
        ("timestamps", "true", timestamps),
        ("tailLines", str(tail), tail is not None),
        ("sinceSeconds", str(since_s), since_s is not None),
        ("sinceTime", since_time),
        ("limitBytes", str(limit_bytes), limit_bytes is not None),
        ("stream", stream),
    )


def output_query(*, stream: str = "", follow: bool = False) -> Query:
    """Return what is asked of a GPU job's output at a site outside of the cluster."""
    return _said(("stream", stream), ("follow", "true", follow))


def _said(*entries: tuple[str, str] | tuple[str, str, bool]) -> Query:
    """Return the entries that are asked for: by default those that are not empty."""
    return [(entry[0], entry[1]) for entry in entries if (entry[2] if len(entry) > 2 else entry[1])]
