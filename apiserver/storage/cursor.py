"""Where a watch stands: which of etcd's answers become Changes, and where to begin again. Pure."""

from apiserver.storage import rpc_pb2 as rpc
from apiserver.storage.store import Change, Changes
from apiserver.storage.wire import change_of


class Cursor:
    """Follows the answers of one watch after another, over any number of lost connections.

    Two facts of etcd shape it. An answer may come in fragments, and a fragment may end within a
    revision: its last revision is held back until the next one. And the header of `created` is
    ahead of the events still to come: it must not move the place to begin again.
    """

    def __init__(self, after: int) -> None:
        # Every change up to and including this revision has been handed out.
        self.delivered = after
        self._held: list[Change] = []

    @property
    def resume(self) -> int:
        """The revision at which a new watch must begin."""
        return self.delivered + 1

    def restart(self) -> None:
        """Forget what was held back: a new watch begins at `resume` and brings it again."""
        self._held = []

    def take(self, answer: rpc.WatchResponse) -> Changes | None:
        """Return what can be handed out now that this answer has come, if anything.

        Raises:
            PreviousMissing: an event lacks the entry before it.
        """
        if answer.created or answer.canceled:
            return None
        if not answer.events:
            return self._progressed(answer.header.revision)
        changes = self._held + [change_of(event) for event in answer.events]
        self._held = []
        if answer.fragment:
            last = changes[-1].revision
            self._held = [change for change in changes if change.revision == last]
            changes = changes[: -len(self._held)]
        if not changes:
            return None
        self.delivered = changes[-1].revision
        return Changes(tuple(changes), self.delivered)

    def _progressed(self, revision: int) -> Changes | None:
        # A watch that begins in the future hears of revisions before its beginning.
        if revision < self.delivered:
            return None
        self.delivered = revision
        return Changes((), revision)
