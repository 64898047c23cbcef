"""What was found out about nodes, by question: true until something changes at the node. Pure.

A finding stands beside the version of its node (see Snapshot.version) and counts only while that is
still the node's.
"""

from collections.abc import Hashable

type Findings[Found] = dict[str, tuple[int, Found]]  # node -> its version, and what was found


class Memory[Question: Hashable, Found]:
    """Findings of the questions that came last."""

    def __init__(self, questions_max: int) -> None:
        self._questions_max = questions_max
        self._found: dict[Question, Findings[Found]] = {}

    def of(self, question: Question) -> Findings[Found]:
        """Return what is known of nodes; what is found out is added to it."""
        known = self._found.get(question)
        if known is None:
            if len(self._found) >= self._questions_max:
                del self._found[next(iter(self._found))]
            known = self._found[question] = {}
        return known

    def forget(self, node: str) -> None:
        """Keep nothing of a node that is gone."""
        for known in self._found.values():
            known.pop(node, None)
