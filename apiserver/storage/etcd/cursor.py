"""Where a watch stands: which of etcd's answers become Changes, and where to begin again. Pure."""

from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.etcd.wire import change_of
from apiserver.storage.store import Change, Changes


class Cursor:
    """Follows the answers of one watch after another, over any number of lost connections.

    Three facts of etcd shape it. An answer may come in fragments, and a fragment may end within a
    revision: its last revision is held back until the next one. The header of `created` is ahead
    of the events still to come: it must not move the place to begin again. And a watch that begins
    ahead of the store gets no progress until the store is there: so we begin at what we have
    already, and leave it out when it comes again.
    """

    def __init__(self, after: int) -> None:
        # Every change up to and including this revision has been handed out.
        self.delivered = after
        # The first revision that a new watch asks for; etcd takes 0 for "now".
        self.begin = max(after, 1)
        self._held: list[Change] = []

    def restart(self) -> None:
        """Forget what was held back: a new watch begins at `begin` and brings it again."""
        self._held = []
        self.begin = max(self.begin, self.delivered)

    def may_begin_at(self, oldest: int) -> bool:
        """Tell whether nothing is lost though oldest is the oldest revision kept; then use it."""
        if self.begin < oldest == self.delivered + 1:
            self.begin = oldest
            return True
        return False

    def take(self, answer: rpc.WatchResponse) -> Changes | None:
        """Return what can be handed out now that this answer has come, if anything.

        Raises:
            PreviousMissing: an event lacks the entry before it.
        """
        if answer.created or answer.canceled:
            return None
        if not answer.events:
            return self._progressed(answer.header.revision)
        known = self.delivered
        events = (event for event in answer.events if event.kv.mod_revision > known)
        changes = self._held + [change_of(event) for event in events]
        self._held = []
        if answer.fragment and changes:
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
