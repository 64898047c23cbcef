"""`cubectl gpusite install`: put `cube-site` at a site of Slurm, behind a key for nothing else.

By this machine's ssh, logged in as the user that the GpuSite names, by whatever lets him in. The
key pair is made here where the site's Secret has none; its private half goes into that Secret.
"""

import base64
import json
import shlex
import subprocess
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cubectl
from cubectl.objects.made import namespace_tree, secret_tree
from cubectl.objects.targets import kind_called
from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import AlreadyExists, NotFound
from cubernetes.api.gpu.slurm import KEY_FIELD, KEYS_NAMESPACE

SITE_FILE = Path(cubectl.__file__).parents[1] / "gpu" / "sites" / "slurm" / "cubesite.py"
DEADLINE_S = 300.0  # somebody may have to type a password
# What sh runs there: the file and the key's line are whole or as before, also where this is cut.
SCRIPT = """set -eu
umask 077
cd "$HOME"
case $HOME in *[!A-Za-z0-9_./-]*) echo "the home $HOME has odd characters" >&2; exit 1;; esac
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {{
    echo "python3, 3.10 or newer, is needed there" >&2; exit 1
}}
base64 -d >cube-site.part <<'CUBE'
{content}
CUBE
mkdir -p .ssh
touch .ssh/authorized_keys
grep -vF {body} .ssh/authorized_keys >.ssh/cube.part || [ $? = 1 ]
command="$(command -v python3) $HOME/cube-site $HOME/{folder}"
echo "restrict,command=\\"$command\\" "{public} >>.ssh/cube.part
mv cube-site.part cube-site
mv .ssh/cube.part .ssh/authorized_keys
"""


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl gpusite install NAME [--folder FOLDER] [--ssh COMMAND]"
    parser.add_argument("words", nargs="*", metavar="install NAME")
    parser.add_argument("--folder", default="cube-jobs", help="of the jobs, in the user's home")
    parser.add_argument("--ssh", default="ssh", help='how to log in, such as "ssh -J gate"')


def run(options: Namespace, session: Session) -> None:
    if len(options.words) != 2 or options.words[0] != "install":
        raise Misused("name what to do, and with which site: cubectl gpusite install hpc")
    name, folder = options.words[1], options.folder
    if not folder.replace("-", "").replace("_", "").isalnum() or not folder.isascii():
        raise Misused("--folder: must be letters, digits, '-' and '_'")
    slurm = _slurm(session, name)
    with TemporaryDirectory() as place:
        private, public = _keys(session, name, slurm["keySecret"], Path(place))
        login = _login(shlex.split(options.ssh), slurm, Path(place))
        _said([*login, "sh", "-s"], _script(public, folder), "not installed")
        session.say(f"cube-site is at {slurm['host']}, jobs will be in ~/{folder}")
        own = ["-i", str(private), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        asked = json.dumps({"partition": slurm.get("partition", "")})
        login = [login[0], *own, *login[1:]]
        told = _said([*login, "states"], asked, "installed, but its key opens nothing")
    session.say(_found(told))


def _slurm(session: Session, name: str) -> dict[str, Any]:
    site = session.api.get(kind_called("gpusites", session.kinds), name, "")
    slurm = site["spec"].get("slurm")
    if slurm is None:
        raise Misused(f"gpusite/{name} is of the type {site['spec']['type']}, not slurm")
    return dict(slurm)


def _keys(session: Session, name: str, secret: str, place: Path) -> tuple[Path, str]:
    """Return the file of the site's private key, and its public half; made where there is none."""
    private = place / "key"
    private.touch(0o600)
    try:
        secrets = kind_called("secrets", session.kinds)
        data = session.api.get(secrets, secret, KEYS_NAMESPACE).get("data") or {}
    except NotFound:
        private.unlink()
        _said(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(private)], "")
        _keep(session, secret, private.read_bytes())
    else:
        if KEY_FIELD not in data:
            raise Failed(f"secret/{secret} of {KEYS_NAMESPACE} has no {KEY_FIELD}") from None
        private.write_bytes(base64.b64decode(data[KEY_FIELD]))
    return private, _said(["ssh-keygen", "-y", "-f", str(private)], "").strip()


def _keep(session: Session, secret: str, key: bytes) -> None:
    with suppress(AlreadyExists):
        kind, tree = kind_called("namespaces", session.kinds), namespace_tree(KEYS_NAMESPACE)
        session.api.create(kind, tree, "", is_dry=False)
    tree = secret_tree(secret, {KEY_FIELD: key}, "Opaque")
    tree["metadata"]["namespace"] = KEYS_NAMESPACE
    session.api.create(kind_called("secrets", session.kinds), tree, KEYS_NAMESPACE, is_dry=False)
    session.say(f"secret/{secret} of {KEYS_NAMESPACE} created: a new key")


def _login(ssh: Sequence[str], slurm: dict[str, Any], place: Path) -> list[str]:
    """Return the command that logs in, at a host that has one of the pinned keys or not at all."""
    host, port = slurm["host"], slurm.get("port", 22)
    at = host if port == 22 else f"[{host}]:{port}"
    known = place / "known_hosts"
    known.write_text("".join(f"{at} {one}\n" for one in slurm["hostKeys"]))
    pinned = [f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=/dev/null"]
    options = [*pinned, "StrictHostKeyChecking=yes"]
    flags = [word for one in options for word in ("-o", one)]
    return [*ssh, *flags, "-p", str(port), f"{slurm['user']}@{host}"]


def _script(public: str, folder: str) -> str:
    kind, body, *rest = public.split()
    return SCRIPT.format(
        content=base64.encodebytes(SITE_FILE.read_bytes()).decode().strip(),
        body=shlex.quote(body),
        public=shlex.quote(" ".join([kind, body, *rest])),
        folder=folder,
    )


def _found(told: str) -> str:
    try:
        answer = json.loads(told)
        nodes, trouble = {node for node, *_ in answer["nodes"]}, answer["trouble"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed("installed, but what it answers cannot be read") from error
    return f"Slurm does not answer it yet: {safe(trouble)}" if trouble else f"{len(nodes)} nodes"


def _said(argv: Sequence[str], stdin: str, what: str = "") -> str:
    """Return what a command says. Raises: Failed, in its own words."""
    try:
        done = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, timeout=DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{what or argv[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"ended with {done.returncode}"
        raise Failed(f"{what or argv[0]}: {safe(said)}")
    return done.stdout.decode(errors="replace")


VERB = Verb(configure, run)
