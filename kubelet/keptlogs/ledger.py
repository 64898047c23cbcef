"""What a folder of lives holds, remembered: one more is judged without reading the folder. Pure."""

from collections import Counter
from collections.abc import Iterable

from kubelet.keptlogs.retention import AGE_MAX_S, COUNT_MAX, LIVES_MAX, Kept, Life, surplus


class Ledger:
    """kept: what the folder holds now. bytes_max: of all together."""

    def __init__(self, kept: Iterable[Kept], bytes_max: int) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        # What was kept by another program may pass any limit.
        self._is_within = False
        # The one that was kept first is the first.
        self._kept: dict[Life, Kept] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        for one in sorted(kept, key=lambda one: one.kept_at_s):
            self._add(one)

    def surplus_with(self, one: Kept, now_s: float) -> list[Life]:
        """Return what goes, by the rules of `surplus`, now that one more is kept.

        All are looked through only where a limit is passed.
        """
        self._remove(one.life)
        self._add(one)
        if self._is_within and not self._is_too_much(one.life, now_s):
            return []
        gone = surplus(self._all(), now_s, self._bytes_max)
        for life in gone:
            self._remove(life)
        self._is_within = True
        return gone

    def _is_too_much(self, newest: Life, now_s: float) -> bool:
        oldest = next(iter(self._kept.values()))
        return (
            self._counts[newest.uid, newest.container] > LIVES_MAX
            or len(self._kept) > COUNT_MAX
            or self._bytes > self._bytes_max
            or now_s - oldest.kept_at_s > AGE_MAX_S
        )

    def _all(self) -> list[Kept]:
        return list(self._kept.values())

    def _add(self, one: Kept) -> None:
        self._kept[one.life] = one
        self._bytes += one.size_bytes
        self._counts[one.life.uid, one.life.container] += 1

    def _remove(self, life: Life) -> None:
        one = self._kept.pop(life, None)
        if one is None:
            return
        self._bytes -= one.size_bytes
        key = life.uid, life.container
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
