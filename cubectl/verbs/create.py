"""`cubectl create -f`: make new objects; those that exist are left alone and told of."""

from argparse import ArgumentParser, Namespace

from cubectl.manifests import Manifest, Rejected, manifests_in
from cubectl.printers import name_of, safe
from cubectl.session import Session
from cubectl.verb import Verb, add_files
from cubernetes.api.core.namespace import Namespace as NamespaceKind
from cubernetes.api.errors import ApiError, NotFound


def configure(parser: ArgumentParser) -> None:
    add_files(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    manifests = manifests_in(
        options.filename,
        session.namespace,
        is_namespace_chosen=bool(session.choice.namespace),
        is_name_needed=False,
    )
    names = _rehearsed(manifests, session)
    if options.dry_run:
        for manifest, name in zip(manifests, names, strict=True):
            session.say(f"{name_of(manifest.kind, name)} created (dry run)")
        return
    for manifest in manifests:
        try:
            made = session.api.create(
                manifest.kind, manifest.tree, manifest.namespace, is_dry=False
            )
        except ApiError as error:
            session.fail(safe(f"{manifest.where}: {error.message}"))
        else:
            session.say(f"{name_of(manifest.kind, made['metadata']['name'])} created")


def _rehearsed(manifests: list[Manifest], session: Session) -> list[str]:
    """Let the server judge every document first; return the names that it would give.

    Raises: Rejected; nothing was created.
    """
    namespaces = {one.name for one in manifests if one.kind is NamespaceKind}
    names, refused = [], []
    for manifest in manifests:
        name = manifest.name or str(manifest.tree["metadata"]["generateName"])
        try:
            made = session.api.create(manifest.kind, manifest.tree, manifest.namespace, is_dry=True)
            name = made["metadata"]["name"]
        except ApiError as error:
            # Its namespace may come with the same files.
            if not (isinstance(error, NotFound) and manifest.namespace in namespaces):
                refused.append(safe(f"{manifest.where}: {error.message}"))
        names.append(name)
    if refused:
        raise Rejected([*refused, f"nothing was created: {len(refused)} refused"])
    return names


VERB = Verb("create", "make new objects from files", configure, run)
