"""Decoded strips that were used lately, up to a number of bytes."""

from collections import OrderedDict

from tsdb.columns.frame import Frame


class StripCache:
    """The least recently used frame goes first. Frames in it are never changed."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._frames: OrderedDict[object, Frame] = OrderedDict()
        self.size_bytes = 0

    def get(self, name: object) -> Frame | None:
        frame = self._frames.get(name)
        if frame is not None:
            self._frames.move_to_end(name)
        return frame

    def put(self, name: object, frame: Frame) -> None:
        size = _size_bytes(frame)
        if size > self._limit_bytes // 4 or name in self._frames:
            return
        self._frames[name] = frame
        self.size_bytes += size
        while self.size_bytes > self._limit_bytes:
            _, oldest = self._frames.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest)

    def clear(self) -> None:
        self._frames.clear()
        self.size_bytes = 0


def _size_bytes(frame: Frame) -> int:
    return frame.values.nbytes + frame.times.nbytes + frame.lane_of.nbytes
