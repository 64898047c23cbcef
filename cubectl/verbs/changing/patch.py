"""`cubectl patch`: change fields of objects, by a patch that is told or read from a file."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from cubectl.api import JSON_PATCH, MERGE, STRATEGIC
from cubectl.objects.targets import targets_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import ApiError, BadRequest
from cubernetes.api.notation.jsontext import Tree

MEDIA = {"strategic": STRATEGIC, "merge": MERGE, "json": JSON_PATCH}
SIZE_BYTES_MAX = 1024 * 1024


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND NAME | KIND/NAME")
    parser.add_argument("-p", "--patch", default="", help="the patch, in JSON or YAML")
    parser.add_argument("--patch-file", default="", metavar="FILE", help="where it stands")
    parser.add_argument("--type", choices=sorted(MEDIA), default="strategic")
    parser.add_argument("--subresource", choices=("status", "scale"), default="")
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    if bool(options.patch) == bool(options.patch_file):
        raise Misused("must specify --patch or --patch-file containing the contents of the patch")
    change = _change_in(options)
    targets = targets_in(options.words, session.kinds)
    if not all(target.name for target in targets):
        raise Misused("name which objects are patched")
    for kind, name in targets:
        title, place = name_of(kind, name), session.namespace if kind.namespaced else ""
        try:
            before = session.api.get(kind, name, place)
            after = session.api.patch(
                kind,
                name,
                place,
                change,
                subresource=options.subresource,
                is_dry=options.dry_run,
                media=MEDIA[options.type],
            )
        except ApiError as error:
            session.fail(safe(error.message))
            continue
        told = " (dry run)" if options.dry_run else ""
        is_same = _version(before) == _version(after) and not options.dry_run
        session.say(f"{title} patched{' (no change)' if is_same else ''}{told}")


def _version(tree: Tree) -> str:
    return str(tree["metadata"].get("resourceVersion", ""))


def _change_in(options: Namespace) -> Any:
    """Return the patch. Raises: Failed, Misused."""
    text = options.patch.encode()
    if options.patch_file:
        try:
            with open(options.patch_file, "rb") as file:
                text = file.read(SIZE_BYTES_MAX + 1)
        except OSError as error:
            raise Failed(f"{options.patch_file}: {error.strerror}") from error
    if len(text) > SIZE_BYTES_MAX:
        raise Failed(f"the patch has over {SIZE_BYTES_MAX} bytes")
    try:
        tree = _tree_of(text)
    except (BadRequest, ValueError) as error:
        raise Misused(f"unable to parse the patch: {error}") from error
    wanted = list if options.type == "json" else dict
    if not isinstance(tree, wanted):
        form = "a list of operations" if wanted is list else "an object"
        raise Misused(f"--patch: must be {form}, in JSON or YAML")
    return tree


def _tree_of(text: bytes) -> Any:
    """Raises: BadRequest, ValueError."""
    try:
        return json.loads(text)
    except ValueError:
        # Its library is slow to import, and most patches are JSON.
        from cubernetes.api.notation import yaml

        (document,) = yaml.documents(text)
        return document.tree


VERB = Verb(configure, run)
