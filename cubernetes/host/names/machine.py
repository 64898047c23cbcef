"""What this machine's own resolv.conf says. It may block: it belongs on a thread."""

from collections.abc import Collection, Iterable
from pathlib import Path

from cubernetes.host.names.resolvconf import ResolvConf, parsed, without

FILE_BYTES_MAX = 64 * 1024
# systemd-resolved writes whom it asks into the first; the second names only itself then.
RESOLV_CONFS = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")


def resolv_conf_here(paths: Iterable[str], left_out: Collection[str] = ()) -> ResolvConf:
    """Return the first file that names a server other than those left out; an empty one for none.

    A file that cannot be read is none.
    """
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                text = file.read(FILE_BYTES_MAX).decode(errors="replace")
        except OSError:
            continue
        found = without(parsed(text), left_out)
        if found.servers:
            return found
    return ResolvConf()
