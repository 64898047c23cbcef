"""`cubectl apply`: make the cluster hold what files say, and leave to others what they do not."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cubectl.api import Validation
from cubectl.objects.forerunner import with_script
from cubectl.objects.gpujobs import is_gpujob
from cubectl.objects.judging import model_of, problems_of
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.objects.rehearsal import refusals_of
from cubectl.objects.targets import Target
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Rejected, Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation
from cubernetes.api.coding import codec
from cubernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import threeway

MANAGER = "cubectl"
ATTEMPTS = 5  # how often an object is read again that somebody else is writing too


class Step(NamedTuple):
    """What one document asks for: change is None where the object is to be created.

    live: the object as it stands; None where there is none.
    """

    manifest: Manifest
    change: Tree | None
    live: Tree | None = None

    @property
    def is_needed(self) -> bool:
        return self.change is None or bool(self.change)


def configure(parser: ArgumentParser) -> None:
    add_files(parser)
    add_validation(parser)
    parser.add_argument("-j", "--job-files", default="", metavar="FOLDER|TAR",
                        help="the files of the one GpuJob in the documents")  # fmt: skip
    parser.add_argument("-s", "--script", default="", metavar="FILE",
                        help="the code of the one Action in the documents")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")
    parser.add_argument("--server-side", action="store_true",
                        help="let the server merge, and keep who owns which field")  # fmt: skip
    parser.add_argument("--force-conflicts", action="store_true",
                        help="with --server-side: take fields that others own")  # fmt: skip
    parser.add_argument("--field-manager", default="", metavar="NAME",
                        help=f"with --server-side: who applies ({MANAGER})")  # fmt: skip
    parser.add_argument(
        "--keep-going", action="store_true", help="apply the valid ones where some are refused"
    )


def run(options: Namespace, session: Session) -> None:
    if not options.server_side and (options.force_conflicts or options.field_manager):
        raise Misused("--force-conflicts and --field-manager go with --server-side")
    validation = VALIDATIONS[options.validate]
    with_files = _filler(options)
    manifests = manifests_in(
        options.filename,
        session.kinds,
        session.namespace,
        is_namespace_chosen=bool(session.choice.namespace),
        judge=lambda manifest: problems_of(with_files(manifest), validation),
    )
    _say_of_old(manifests, options.script, session)
    manifests = [one._replace(tree=_wanted_of(with_files(one))) for one in manifests]
    if options.job_files:
        _check_one_job(manifests)
    if options.server_side:
        _apply_there(manifests, options, session)
        return
    good = _rehearsed(
        manifests, _rehearsal(session, validation), session, is_stubborn=options.keep_going
    )
    for manifest in good:
        title = name_of(manifest.kind, manifest.name)
        if options.dry_run:
            session.say(f"{title} {_verdict(step_of(manifest, session))} (dry run)")
            continue
        try:
            session.say(f"{title} {_applied(manifest, session, validation)}")
        except ApiError as error:
            session.fail(_told(manifest, error))


def _script_in(path: str) -> str:
    """Return the code of a file; empty where none is named. Raises: Failed."""
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: {getattr(error, 'strerror', '') or error}") from error


def _say_of_old(manifests: Sequence[Manifest], script: str, session: Session) -> None:
    """Tell what is applied as another kind. Raises: Misused."""
    for one in manifests:
        if one.told:
            session.warn(f"{one.where}: {one.told}")
    count = sum(1 for one in manifests if one.told and one.kind.kind == "Function")
    if script and count != 1:
        raise Misused(f"-s gives its code to one Action; the documents have {count}")


def _filler(options: Namespace) -> Callable[[Manifest], Manifest]:
    """Return what puts files into a GpuJob, and a script into what was an Action."""
    with_job, script = _job_filler(options.job_files), _script_in(options.script)

    def filled(manifest: Manifest) -> Manifest:
        if script and manifest.told and manifest.kind.kind == "Function":
            return manifest._replace(tree=with_script(manifest.tree, script))
        return with_job(manifest)

    return filled


def _job_filler(origin: str) -> Callable[[Manifest], Manifest]:
    """Return what puts the files of a folder or a tar into a GpuJob, beside those that it has."""
    if not origin:
        return lambda manifest: manifest
    from cubectl.objects.gpufiles import files_of

    files = files_of(Path(origin))

    def filled(manifest: Manifest) -> Manifest:
        spec = manifest.tree.get("spec")
        if not is_gpujob(Target(manifest.kind)) or not isinstance(spec, dict):
            return manifest
        own = spec.get("files") or {}
        return manifest._replace(
            tree={**manifest.tree, "spec": {**spec, "files": {**files, **own}}}
        )

    return filled


def _check_one_job(manifests: Sequence[Manifest]) -> None:
    """Refuse files of which nobody knows whose they are. Raises: Misused."""
    count = sum(1 for one in manifests if is_gpujob(Target(one.kind)))
    if count != 1:
        raise Misused(f"-j gives its files to one GpuJob; the documents have {count}")


def _apply_there(manifests: Sequence[Manifest], options: Namespace, session: Session) -> None:
    """Apply documents on the server, after it has judged them all. Raises: Rejected."""
    writer = [("fieldManager", options.field_manager or MANAGER)]
    writer += [("force", "true")] if options.force_conflicts else []
    validation = VALIDATIONS[options.validate]

    def apply(manifest: Manifest, *, is_dry: bool) -> bool:
        kind, name, namespace = manifest.kind, manifest.name, manifest.namespace
        session.api.apply(
            kind, name, namespace, manifest.tree, writer, is_dry=is_dry, validation=validation
        )
        return True

    rehearse = partial(apply, is_dry=True)
    good = _rehearsed(manifests, rehearse, session, is_stubborn=options.keep_going)
    for manifest in good:
        title = name_of(manifest.kind, manifest.name)
        try:
            apply(manifest, is_dry=options.dry_run)
        except ApiError as error:
            session.fail(_told(manifest, error))
        else:
            ending = " (dry run)" if options.dry_run else ""
            session.say(f"{title} serverside-applied{ending}")


def _rehearsal(session: Session, validation: Validation) -> Callable[[Manifest], bool]:
    def rehearse(manifest: Manifest) -> bool:
        step = step_of(manifest, session)
        carried_out(step, session, validation, is_dry=True)
        return step.is_needed

    return rehearse


def _rehearsed(
    manifests: Sequence[Manifest],
    rehearse: Callable[[Manifest], bool],
    session: Session,
    *,
    is_stubborn: bool,
) -> list[Manifest]:
    """Let the server judge every document before the first is applied.

    Raises: Rejected: some are refused, and nothing was changed.
    """
    refused = refusals_of(manifests, rehearse)
    if refused and not is_stubborn:
        raise Rejected([*refused.values(), f"nothing was applied: {len(refused)} refused"])
    for sentence in refused.values():
        session.fail(sentence)
    return [one for one in manifests if one.where not in refused]


def _wanted_of(manifest: Manifest) -> Tree:
    return threeway.wanted_of(manifest.tree, has_status=manifest.kind.has_status)


def step_of(manifest: Manifest, session: Session) -> Step:
    try:
        live = session.api.get(manifest.kind, manifest.name, manifest.namespace)
    except NotFound:
        return Step(manifest, None)
    return Step(manifest, change_for(manifest, live), live)


def change_for(manifest: Manifest, live: Tree) -> Tree:
    """Return the merge patch that applies a document to a live object; empty: it is as wanted.

    Pure. What differs only in its spelling (`500m` and `0.5`, a default written out) is no change.

    Raises: Conflict: the document is of another state or incarnation than the live object.
    """
    _check_incarnation(manifest, live)
    wanted = threeway.annotated(manifest.tree)
    merged = threeway.merged(threeway.last_applied(live), live, wanted)
    kind = model_of(manifest.kind)
    if kind is not None:
        old = codec.served(kind, live)
        new = codec.served(kind, merged)
        if old == new:
            return {}
    change = threeway.change_between(live, merged)
    if not change:
        return {}
    # Lists go over whole: somebody else's change since the reading must not be lost in one.
    version = live["metadata"]["resourceVersion"]
    metadata = {**(change.get("metadata") or {}), "resourceVersion": version}
    return {**change, "metadata": metadata}


def _check_incarnation(manifest: Manifest, live: Tree) -> None:
    """Refuse a document that says which state it was made from, where that is no more.

    kubectl sends the old resourceVersion, and is refused by the server; it says the same.
    """
    for field, told in (
        ("resourceVersion", "the object has been modified; please apply your changes to the "
                            "latest version and try again (or leave resourceVersion out)"),
        ("uid", "the object is another one of that name: its uid differs"),
    ):  # fmt: skip
        said = manifest.tree["metadata"].get(field)
        if said and said != live["metadata"].get(field):
            plural = manifest.kind.plural
            group = f".{manifest.kind.group}" if manifest.kind.group else ""
            title = f'{plural}{group} "{manifest.name}"'
            raise Conflict(f"Operation cannot be fulfilled on {title}: metadata.{field}: {told}")


def carried_out(
    step: Step, session: Session, validation: Validation, *, is_dry: bool
) -> Tree | None:
    """Do what a step asks for; return the object then, None where nothing was to be done."""
    manifest = step.manifest
    if step.change is None:
        tree = threeway.annotated(manifest.tree)
        return session.api.create(
            manifest.kind, tree, manifest.namespace, is_dry=is_dry, validation=validation
        )
    if not step.change:
        return None
    return session.api.patch(
        manifest.kind,
        manifest.name,
        manifest.namespace,
        step.change,
        is_dry=is_dry,
        validation=validation,
    )


def _applied(manifest: Manifest, session: Session, validation: Validation) -> str:
    """Apply one document; return what became of it. Raises: ApiError."""
    for attempt in range(1, ATTEMPTS + 1):
        # Not within: a document of another state stays one, however often it is read again.
        step = step_of(manifest, session)
        try:
            carried_out(step, session, validation, is_dry=False)
        except (Conflict, AlreadyExists, NotFound) as error:
            # Somebody wrote, made or removed it between our reading and our writing.
            is_ours = not (isinstance(error, NotFound) and step.change is None)
            if attempt == ATTEMPTS or not is_ours:
                raise
            continue
        return _verdict(step)
    raise AssertionError("the last attempt returns or raises")


def _verdict(step: Step) -> str:
    if step.change is None:
        return "created"
    return "configured" if step.is_needed else "unchanged"


def _told(manifest: Manifest, error: ApiError) -> str:
    return safe(f"{manifest.where}: {error.message}")


VERB = Verb(configure, run)
