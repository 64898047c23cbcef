"""Small files that are read again and again: their descriptors are kept from pass to pass."""

import os

# No more are kept open; what is beyond is opened for each reading.
FILES_KEPT_MAX = 8192
FILE_BYTES_MAX = 64 * 1024


class KeptFiles:
    """One user at a time. What a pass over all of them has not asked for is closed at its end.

    To open a file of a control group costs several times what reading it does. The kernel lets go
    of a group whose files are open, and answers their readers that there is no such device.
    """

    def __init__(self, files_max: int = FILES_KEPT_MAX) -> None:
        self._files_max = files_max
        self._kept: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self.file_count = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._kept)

    def text(self, path: str) -> str:
        """Return what a file says, no more of it than the limit; empty where it cannot be read."""
        self.file_count += 1
        descriptor = self._kept.get(path)
        if descriptor is not None:
            try:
                text = _read(descriptor)
            except OSError:
                # Of a group that has ended: another may be there by the same name.
                os.close(self._kept.pop(path))
                self._asked.pop(path, None)
            else:
                self._asked[path] = descriptor
                return text
        return self._opened(path)

    def once(self, path: str) -> str:
        """Return the same of a file that is read now and then, and is not kept."""
        self.file_count += 1
        return text_at(path)

    def _opened(self, path: str) -> str:
        if len(self._kept) >= self._files_max:
            return text_at(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""  # a group that has ended, or a controller that is off: it is not told of
        self._kept[path] = self._asked[path] = descriptor
        try:
            return _read(descriptor)
        except OSError:
            return ""

    def end_pass(self, *, closes: bool) -> int:
        """Return how many readings there were since the last end.

        closes: what was not asked for since then; a pass of another kind asks for none of them.
        """
        if closes:
            for path in self._kept.keys() - self._asked.keys():
                os.close(self._kept.pop(path))
        self._asked = {}
        count, self.file_count = self.file_count, 0
        return count

    def close(self) -> None:
        """Close all."""
        for descriptor in self._kept.values():
            os.close(descriptor)
        self._kept, self._asked = {}, {}


def text_at(path: str) -> str:
    """Return what a file says, no more of it than the limit; empty where it cannot be read."""
    try:
        # Thousands of files: a file object for each would cost as much as the reading.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return ""


def _read(descriptor: int) -> str:
    return os.pread(descriptor, FILE_BYTES_MAX, 0).decode("ascii", "replace")
