"""`cubectl create`: make new objects; those that exist are left alone and told of."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cubectl.api import Validation
from cubectl.objects.judging import problems_of
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.objects.targets import kind_called
from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Rejected, Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.notation.jsontext import Tree


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="deployment NAME")
    parser.add_argument("--image", action="append", default=[], help="deployment: may be repeated")
    parser.add_argument("-r", "--replicas", type=int, default=1, help="deployment: how many")
    parser.add_argument("--port", type=int, default=0, help="deployment: of the first container")
    add_files(parser, is_required=False)
    add_validation(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    validation = VALIDATIONS[options.validate]
    if options.words:
        _make_deployment(options, session, validation)
        return
    if not options.filename:
        raise Misused("name files with -f, or a deployment and its --image")
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


def _make_deployment(options: Namespace, session: Session, validation: Validation) -> None:
    kind_word, *names = options.words
    kind = kind_called(kind_word, session.kinds)
    if (kind.group, kind.plural) != ("apps", "deployments") or len(names) != 1:
        raise Misused("create deployment NAME --image=IMAGE, or -f FILE")
    if not options.image:
        raise Misused('required flag(s) "image" not set')
    tree = deployment_tree(names[0], options.image, options.replicas, options.port)
    tree["metadata"]["namespace"] = session.namespace
    made = session.api.create(
        kind, tree, session.namespace, is_dry=options.dry_run, validation=validation
    )
    told = " (dry run)" if options.dry_run else ""
    session.say(f"{name_of(kind, made['metadata']['name'])} created{told}")


def deployment_tree(name: str, images: Sequence[str], replicas: int, port: int) -> Tree:
    """Return a Deployment as kubectl makes it: its containers are named by their images."""
    labels = {"app": name}
    containers: list[Tree] = [
        {"name": image.rpartition("/")[2].partition("@")[0].partition(":")[0], "image": image}
        for image in images
    ]
    if port:
        containers[0]["ports"] = [{"containerPort": port}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


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
