"""systemd-resolved: it asks the resolver about the cluster's domain, by a file of its own folder.

Names of others it asks of the machine's links as before, and of the resolver beside them: whichever
replies first. Where its configuration names servers of its own, ours would be one of a list that it
asks one after another, whatever the domain: then it is left alone. All calls here block but reload.
"""

from collections.abc import Iterator
from pathlib import Path

from cubernetes.host.command import Commands
from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.names.machine import FILE_BYTES_MAX
from cubernetes.host.names.resolvconf import parsed

OURS = "etc/systemd/resolved.conf.d/50-cubernetes.conf"
MAIN = "etc/systemd/resolved.conf"
FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib")
RUN = "run/systemd/resolve"
RELOAD = ("systemctl", "try-reload-or-restart", "systemd-resolved.service")
RELOAD_S = 30.0


class Resolved:
    """One machine's systemd-resolved; root is where the machine's files are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def is_asked_by(self, resolv_conf: Path) -> bool:
        """Tell whether a machine's programs ask it: their file is one of those that it keeps."""
        keeps = (self._root / RUN).resolve()
        return resolv_conf.is_symlink() and resolv_conf.resolve().parent == keeps

    def has_servers(self) -> bool:
        """Tell whether its configuration names servers for everything. Raises: OSError."""
        return any(
            line.partition("=")[2].strip()
            for path in self._configurations()
            for line in _text_of(path).splitlines()
            if line.partition("=")[0].strip() == "DNS"
        )

    def ask_about(self, domain: str, address: str) -> bool:
        """Have it ask an address about a domain; tell whether it must be reloaded for that.

        Raises: OSError.
        """
        path, wanted = self._root / OURS, text_for(domain, address)
        if read_or_none(path) != wanted:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomic(path, wanted, 0o644)
            return True
        # It tells there whom it asks, once it has read its configuration.
        return address not in parsed(_text_of(self._root / RUN / "resolv.conf")).servers

    def ask_no_more(self) -> bool:
        """Take our file away; tell whether there was one. Raises: OSError."""
        path = self._root / OURS
        is_there = path.exists()
        path.unlink(missing_ok=True)
        return is_there

    def _configurations(self) -> Iterator[Path]:
        yield self._root / MAIN
        for folder in FOLDERS:
            for path in sorted((self._root / folder / "systemd/resolved.conf.d").glob("*.conf")):
                if path != self._root / OURS:
                    yield path


def text_for(domain: str, address: str) -> bytes:
    """Return a configuration: a domain with a tilde is asked there, and no search domain."""
    told = "# cubernetes: the cluster's names; `cuberoot reset` takes this file away"
    return f"{told}\n[Resolve]\nDNS={address}\nDomains=~{domain}\n".encode()


async def reload(commands: Commands) -> None:
    """Have it read its configuration; where it does not run, nothing. Raises: CommandFailed."""
    await commands.run(RELOAD, deadline_s=RELOAD_S)


def _text_of(path: Path) -> str:
    """Return the beginning of a file; nothing where there is none. Raises: OSError."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode(errors="replace")
    except FileNotFoundError:
        return ""
