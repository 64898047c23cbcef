"""`cubectl replace -f`: put what files say in the place of what is there; nothing is merged."""

from argparse import ArgumentParser, Namespace

from cubectl.api import Validation
from cubectl.objects.judging import problems_of
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.objects.rehearsal import refusals_of
from cubectl.objects.waiting import TooLate, are_gone, named, wait_until
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Rejected, Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation, span_s
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.notation.jsontext import Tree


def configure(parser: ArgumentParser) -> None:
    add_files(parser)
    add_validation(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")
    told = "delete each object at once, without grace, and create it anew"
    parser.add_argument("--force", action="store_true", help=told)
    parser.add_argument("--timeout", default="5m", help="with --force: until it is gone")


def run(options: Namespace, session: Session) -> None:
    if options.force and options.dry_run:
        raise Misused("--force: what it does cannot be rehearsed: leave --dry-run out")
    validation, deadline_s = VALIDATIONS[options.validate], span_s(options.timeout)
    manifests = manifests_in(
        options.filename,
        session.kinds,
        session.namespace,
        is_namespace_chosen=bool(session.choice.namespace),
        judge=lambda manifest: problems_of(manifest, validation),
    )
    if not options.force:
        _rehearse(manifests, session, validation)
    for manifest in manifests:
        title = name_of(manifest.kind, manifest.name)
        try:
            if options.force:
                _remove(manifest, session, deadline_s)
                _create(manifest, session, validation)
            elif not options.dry_run:
                _put(manifest, session, validation, is_dry=False)
        except ApiError as error:
            session.fail(safe(f"{manifest.where}: {error.message}"))
        else:
            session.say(f"{title} replaced{' (dry run)' if options.dry_run else ''}")


def _rehearse(manifests: list[Manifest], session: Session, validation: Validation) -> None:
    """Let the server judge every document before the first is replaced.

    Raises: Rejected; nothing was changed.
    """

    def rehearse(manifest: Manifest) -> bool:
        _put(manifest, session, validation, is_dry=True)
        return True

    if refused := refusals_of(manifests, rehearse):
        raise Rejected([*refused.values(), f"nothing was replaced: {len(refused)} refused"])


def _put(manifest: Manifest, session: Session, validation: Validation, *, is_dry: bool) -> None:
    session.api.replace(
        manifest.kind,
        manifest.name,
        manifest.tree,
        manifest.namespace,
        is_dry=is_dry,
        validation=validation,
    )


def _remove(manifest: Manifest, session: Session, deadline_s: float) -> None:
    """Delete an object and wait until it is gone; one that is not there is gone.

    Raises: ApiError; Failed: the deadline passed first.
    """
    kind, name, namespace = manifest.kind, manifest.name, manifest.namespace
    try:
        uid = str(session.api.get(kind, name, namespace)["metadata"]["uid"])
        options: Tree = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        session.api.delete(kind, name, namespace, options)
    except NotFound:
        return
    try:
        wait_until(session, kind, namespace, named(name), are_gone([uid]), deadline_s)
    except TooLate as error:
        title = name_of(kind, name)
        raise Failed(f"{title}: is not gone yet; it was not created anew") from error


def _create(manifest: Manifest, session: Session, validation: Validation) -> None:
    metadata = {key: one for key, one in manifest.tree["metadata"].items() if key not in OF_OLD}
    session.api.create(
        manifest.kind,
        {**manifest.tree, "metadata": metadata},
        manifest.namespace,
        is_dry=False,
        validation=validation,
    )


# What a document that was read from the server says of the object that is deleted.
OF_OLD = frozenset({"resourceVersion", "uid"})
VERB = Verb(configure, run)
