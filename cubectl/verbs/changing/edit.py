"""`cubectl edit`: an object in an editor of this machine, and back when that has ended."""

import os
import shlex
import subprocess
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cubectl.objects.targets import Target, targets_in
from cubectl.output.printers import name_of, safe, without_owners, yaml_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import ApiError, BadRequest
from cubernetes.api.notation.jsontext import Tree

HEAD = """\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit.
#
"""
SIZE_BYTES_MAX = 10 * 1024 * 1024


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND NAME | KIND/NAME")


def run(options: Namespace, session: Session) -> None:
    targets = targets_in(options.words, session.kinds)
    if not all(target.name for target in targets):
        raise Misused("name which objects are edited")
    for target in targets:
        _edit(target, session)


def _edit(target: Target, session: Session) -> None:
    """Raises: Failed, ApiError."""
    place = session.namespace if target.kind.namespaced else ""
    title = name_of(target.kind, target.name)
    before = yaml_text(without_owners(session.api.get(target.kind, target.name, place)))
    handle, path = tempfile.mkstemp(prefix="cubectl-edit-", suffix=".yaml")
    with os.fdopen(handle, "w") as file:
        file.write(HEAD + before)
    _run_editor(session, path)
    text = Path(path).read_bytes()
    try:
        after = _tree_of(text)
        if after is None or yaml_text(after) == before:
            session.say("Edit cancelled, no changes made.")
        else:
            session.api.replace(target.kind, target.name, after, place, is_dry=False)
            session.say(f"{title} edited")
    except (ApiError, BadRequest) as error:
        session.fail(safe(f"{title}: {error}"))
        session.tell(f'A copy of your changes has been stored to "{path}"')
        return
    os.unlink(path)


def _run_editor(session: Session, path: str) -> None:
    """Raises: Failed."""
    told = session.environment.get("KUBE_EDITOR") or session.environment.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(told), path], check=False).returncode
    except (OSError, ValueError) as error:
        os.unlink(path)
        raise Failed(f"unable to launch the editor {told!r}: {error}") from error
    if code:
        raise Failed(f"there was a problem with the editor {told!r}; the text is in {path}")


def _tree_of(text: bytes) -> Tree | None:
    """Return what was written; None for an empty file. Raises: BadRequest."""
    from cubernetes.api.notation import yaml

    if len(text) > SIZE_BYTES_MAX:
        raise BadRequest(f"the text has over {SIZE_BYTES_MAX} bytes")
    trees = [document.tree for document in yaml.documents(text) if document.tree]
    if not trees:
        return None
    if len(trees) > 1:
        raise BadRequest("the text holds several objects")
    return trees[0]


VERB = Verb(configure, run)
