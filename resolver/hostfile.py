"""This machine's resolv.conf: it asks the resolver first, and its own servers where that is silent.

The lines are ours, marked, and written again where somebody else wrote the file anew. A file that
is a link is another program's (systemd-resolved, NetworkManager), and left alone. Both calls block.
"""

import errno
from pathlib import Path

from cubernetes.host.durable.files import write_atomic
from cubernetes.host.names.machine import FILE_BYTES_MAX
from cubernetes.host.names.resolvconf import with_first_server, without_first_server


def ask_first(path: Path, address: str) -> bool:
    """Let a resolv.conf name this server first; False where the file is another program's.

    Raises: OSError.
    """
    text = _text_of(path)
    if text is None:
        return False
    _write(path, text, with_first_server(text, address))
    return True


def ask_no_more(path: Path) -> None:
    """Take our lines out again; nothing else of the file changes. Raises: OSError."""
    text = _text_of(path)
    if text is not None:
        _write(path, text, without_first_server(text))


def _text_of(path: Path) -> str | None:
    """Return what a file says; None where there is none, or it is another program's."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    # Every byte comes back as it was, also where it is no text.
    return content.decode(errors="surrogateescape") if len(content) <= FILE_BYTES_MAX else None


def _write(path: Path, old: str, new: str) -> None:
    if new == old:
        return
    content = new.encode(errors="surrogateescape")
    try:
        write_atomic(path, content, path.stat().st_mode & 0o777)
    except OSError as error:
        # A file that is mounted by itself, as in a container, can only be written where it is.
        if error.errno != errno.EBUSY:
            raise
        path.write_bytes(content)
