"""`cubectl create -f`: make new objects; those that exist are left alone and told of."""

from argparse import ArgumentParser, Namespace

from cubectl.api import Validation
from cubectl.objects.judging import problems_of
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Rejected, Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.notation.jsontext import Tree


def configure(parser: ArgumentParser) -> None:
    add_files(parser)
    add_validation(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    validation = VALIDATIONS[options.validate]
    manifests = manifests_in(
        options.filename,
        session.kinds,
        session.namespace,
        is_namespace_chosen=bool(session.choice.namespace),
        is_name_needed=False,
        judge=lambda manifest: problems_of(manifest, validation),
    )
    names = _rehearsed(manifests, session, validation)
    if options.dry_run:
        for manifest, name in zip(manifests, names, strict=True):
            session.say(f"{name_of(manifest.kind, name)} created (dry run)")
        return
    for manifest in manifests:
        try:
            made = _created(manifest, session, validation, is_dry=False)
        except ApiError as error:
            session.fail(safe(f"{manifest.where}: {error.message}"))
        else:
            session.say(f"{name_of(manifest.kind, made['metadata']['name'])} created")


def _created(manifest: Manifest, session: Session, validation: Validation, *, is_dry: bool) -> Tree:
    return session.api.create(
        manifest.kind, manifest.tree, manifest.namespace, is_dry=is_dry, validation=validation
    )


def _rehearsed(manifests: list[Manifest], session: Session, validation: Validation) -> list[str]:
    """Let the server judge every document first; return the names that it would give.

    Raises: Rejected; nothing was created.
    """
    namespaces = {one.name for one in manifests if one.kind.kind == "Namespace"}
    names, refused = [], []
    for manifest in manifests:
        name = manifest.name or str(manifest.tree["metadata"]["generateName"])
        try:
            made = _created(manifest, session, validation, is_dry=True)
            name = made["metadata"]["name"]
        except ApiError as error:
            # Its namespace may come with the same files.
            if not (isinstance(error, NotFound) and manifest.namespace in namespaces):
                refused.append(safe(f"{manifest.where}: {error.message}"))
        names.append(name)
    if refused:
        raise Rejected([*refused, f"nothing was created: {len(refused)} refused"])
    return names


VERB = Verb(configure, run)
