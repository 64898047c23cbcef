"""`cubectl create`: make new objects; those that exist are left alone and told of."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from cubectl.api import Validation
from cubectl.kinds import Kinds
from cubectl.objects.gpufiles import gpujob_tree
from cubectl.objects.jobs import cronjob_tree, job_from, job_tree
from cubectl.objects.judging import problems_of
from cubectl.objects.keyed import add_keyed, keyed_by, read_file
from cubectl.objects.made import (
    DOCKER_HUB,
    DOCKER_KEY,
    DOCKER_TYPE,
    RBAC,
    account_tree,
    binding_tree,
    budget_tree,
    configmap_tree,
    namespace_tree,
    priority_class_tree,
    quota_tree,
    registry_secret_tree,
    role_tree,
    secret_tree,
    service_tree,
)
from cubectl.objects.manifests import Manifest, manifests_in
from cubectl.objects.rehearsal import refusals_of
from cubectl.objects.targets import kind_called
from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Rejected, Session
from cubectl.verb import VALIDATIONS, Verb, add_files, add_validation, span_s
from cubernetes.api.errors import ApiError
from cubernetes.api.notation.jsontext import Tree

TLS_FILES = (("tls.crt", "cert"), ("tls.key", "key"))
WAYS = (
    "create namespace NAME, create configmap NAME --from-literal=KEY=TEXT, "
    "create secret generic|tls|docker-registry NAME, create serviceaccount NAME, "
    "create token ACCOUNT, "
    "create role|clusterrole NAME --verb=get --resource=pods, "
    "create rolebinding|clusterrolebinding NAME --clusterrole=NAME --user=NAME, "
    "create service clusterip|nodeport|loadbalancer NAME --tcp=80, "
    "create service externalname NAME --external-name=HOST, create quota NAME --hard=pods=9, "
    "create priorityclass NAME --value=9, create pdb NAME --selector=app=web --min-available=1, "
    "create deployment NAME --image=IMAGE, create job NAME --image=IMAGE [-- COMMAND], "
    "create job NAME --from=cronjob/NAME, "
    "create gpujob NAME --from=FOLDER|TAR, "
    "create cronjob NAME --image=IMAGE --schedule=SCHEDULE [-- COMMAND], or -f FILE"
)


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND NAME [-- COMMAND]")
    parser.add_argument(
        "--image", action="append", default=[], help="what its containers are made of"
    )
    parser.add_argument("-r", "--replicas", type=int, default=1, help="deployment: how many")
    parser.add_argument("--port", type=int, default=0, help="deployment: of the first container")
    parser.add_argument("--schedule", default="", help="of a cronjob: five fields, or @hourly")
    parser.add_argument("--restart", choices=("OnFailure", "Never"), default="OnFailure",
                        help="of a cronjob: its pods' restartPolicy")  # fmt: skip
    parser.add_argument("--from", dest="origin", default="", metavar="cronjob/NAME|FOLDER",
                        help="of a job: its cronjob; of a gpujob: its files")  # fmt: skip
    parser.add_argument("--gpus", type=int, default=1, help="of a gpujob: how many")
    parser.add_argument("--allow-stand-in", action="store_true",
                        help="of a gpujob: CPUs that stand in for GPUs will do")  # fmt: skip
    _add_makings(parser)
    add_files(parser, is_required=False)
    add_validation(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def _add_makings(parser: ArgumentParser) -> None:
    add_keyed(parser)
    for flag, told in (
        ("--type", "of a generic secret"),
        ("--cert", "of a tls secret: a file in PEM"),
        ("--key", "of a tls secret: a file in PEM"),
        ("--external-name", "of a service externalname: the host it leads to"),
        ("--hard", "of a quota: such as pods=9,requests.cpu=4"),
        ("--description", "of a priorityclass"),
        ("--selector", "of a pdb: such as app=web"),
        ("--min-available", "of a pdb: a number, or 50%%"),
        ("--max-unavailable", "of a pdb: a number, or 50%%"),
    ):
        parser.add_argument(flag, default="", help=told)
    parser.add_argument("--tcp", action="append", default=[], metavar="PORT[:TARGET]",
                        help="of a service; may be repeated")  # fmt: skip
    _add_access(parser)
    parser.add_argument("--value", type=int, default=0, help="of a priorityclass")
    parser.add_argument("--global-default", action="store_true", help="of a priorityclass")


def _add_access(parser: ArgumentParser) -> None:
    for flag, told in (
        ("--docker-server", f"of a docker-registry secret: by default {DOCKER_HUB}"),
        ("--docker-username", "of a docker-registry secret"),
        ("--docker-password", "of a docker-registry secret"),
        ("--docker-email", "of a docker-registry secret"),
        ("--duration", "of a token: how long it is good, such as 10m; the server may give less"),
        ("--bound-object-kind", "of a token: Pod or Secret, with which it ends"),
        ("--bound-object-name", "of a token: which"),
        ("--bound-object-uid", "of a token: which incarnation of that name"),
        ("--role", "of a rolebinding: a Role of its namespace"),
        ("--clusterrole", "of a rolebinding or clusterrolebinding"),
    ):
        parser.add_argument(flag, default="", help=told)
    # `verb` alone is already what cubectl is to do.
    parser.add_argument("--verb", action="append", default=[], dest="allowed", metavar="VERB,...",
                        help="of a role: what may be done; may be repeated")  # fmt: skip
    for flag, form, told in (
        ("--resource", "KIND[.GROUP][/PART],...", "of a role: to what"),
        ("--resource-name", "NAME", "of a role: the only object that is meant"),
        ("--non-resource-url", "PATH,...", "of a clusterrole: paths of no object"),
        ("--audience", "WHOM", "of a token: left out, the API server"),
        ("--user", "NAME", "of a binding"),
        ("--group", "NAME", "of a binding"),
        ("--serviceaccount", "NAMESPACE:NAME", "of a binding"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar=form,
                            help=f"{told}; may be repeated")  # fmt: skip


def run(options: Namespace, session: Session) -> None:
    validation = VALIDATIONS[options.validate]
    if options.words:
        _make_by_words(options, session, validation)
        return
    if not options.filename:
        raise Misused("name files with -f, or a deployment or a job and its --image")
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


def _make_by_words(options: Namespace, session: Session, validation: Validation) -> None:
    kind_word, *words = options.words
    if kind_word == "token":
        _say_token(words, options, session)
        return
    kind = kind_called(kind_word, session.kinds)
    full = f"{kind.plural}.{kind.group}"
    tree = (
        _made_of(full, words, options)
        or _access_of(full, words, options, session.kinds)
        or _tree_of(full, words, options, session)
    )
    place = session.namespace if kind.namespaced else ""
    if place:
        tree["metadata"]["namespace"] = place
    made = session.api.create(kind, tree, place, is_dry=options.dry_run, validation=validation)
    told = " (dry run)" if options.dry_run else ""
    session.say(f"{name_of(kind, made['metadata']['name'])} created{told}")


def _say_token(words: Sequence[str], options: Namespace, session: Session) -> None:
    """Ask for a token of a service account, and print it alone. Raises: Misused, ApiError."""
    if len(words) != 1 or options.dry_run:
        raise Misused("create token SERVICEACCOUNT [--duration=1h] [--audience=WHOM]; no dry run")
    bound = {
        field: text
        for field, text in (
            ("kind", options.bound_object_kind),
            ("name", options.bound_object_name),
            ("uid", options.bound_object_uid),
        )
        if text
    }
    if bound and not (options.bound_object_kind and options.bound_object_name):
        raise Misused("--bound-object-kind and --bound-object-name go together")
    spec: Tree = {"audiences": options.audience}
    if options.duration:
        spec["expirationSeconds"] = int(span_s(options.duration))
    if bound:
        spec["boundObjectRef"] = {"apiVersion": "v1", **bound}
    accounts = kind_called("serviceaccounts", session.kinds)
    session.say(session.api.token(accounts, words[0], session.namespace, spec))


def _made_of(  # noqa: C901  a case for each kind
    kind: str, words: Sequence[str], options: Namespace
) -> Tree | None:
    """Return an object that words alone make; None where they make none. Raises: Misused."""
    match kind, words:
        case "namespaces.", [name]:
            return namespace_tree(name)
        case "configmaps.", [name]:
            return configmap_tree(name, keyed_by(options))
        case "secrets.", ["generic", name]:
            return secret_tree(name, keyed_by(options), options.type or "Opaque")
        case "secrets.", ["tls", name]:
            for _, flag in TLS_FILES:
                _need(getattr(options, flag), flag)
            data = {key: read_file(Path(getattr(options, flag))) for key, flag in TLS_FILES}
            return secret_tree(name, data, "kubernetes.io/tls")
        case "secrets.", ["docker-registry", name]:
            return _registry_secret(name, options)
        case "services.", [word, name]:
            return service_tree(name, word, options.tcp, options.external_name)
        case "resourcequotas.", [name]:
            return quota_tree(name, options.hard)
        case "priorityclasses.scheduling.k8s.io", [name]:
            told, is_default = options.description, options.global_default
            return priority_class_tree(name, options.value, told, is_default=is_default)
        case "poddisruptionbudgets.policy", [name]:
            least, most = options.min_available, options.max_unavailable
            return budget_tree(name, options.selector, least, most)
        case _:
            return None


def _registry_secret(name: str, options: Namespace) -> Tree:
    """Return a Secret of a login, or of the logins that a file of Docker's has. Raises: Misused."""
    if data := keyed_by(options):
        if [*data] != [DOCKER_KEY]:
            raise Misused(f"--from-file: write {DOCKER_KEY}=PATH, once")
        return secret_tree(name, data, DOCKER_TYPE)
    _need(options.docker_username, "docker-username")
    _need(options.docker_password, "docker-password")
    server = options.docker_server or DOCKER_HUB
    user, password, email = options.docker_username, options.docker_password, options.docker_email
    return registry_secret_tree(name, server, user, password, email)


def _access_of(kind: str, words: Sequence[str], options: Namespace, kinds: Kinds) -> Tree | None:
    """Return what says who may do what; None where the words mean nothing such. Raises: Misused."""
    plural, _, group = kind.partition(".")
    if (plural, group) == ("serviceaccounts", "") and len(words) == 1:
        return account_tree(words[0])
    if group != RBAC or len(words) != 1:
        return None
    (name,) = words
    if plural in ("roles", "clusterroles"):
        resources = [_resource_in(word, kinds) for word in _words(options.resource)]
        urls = _words(options.non_resource_url)
        if urls and plural == "roles":
            raise Misused("--non-resource-url is for a clusterrole")
        cluster_wide = urls if plural == "clusterroles" else None
        return role_tree(
            name, _words(options.allowed), resources, options.resource_name, cluster_wide
        )
    if plural == "rolebindings":
        if bool(options.role) == bool(options.clusterrole):
            raise Misused("exactly one of clusterrole or role must be specified")
    else:
        _need(options.clusterrole, "clusterrole")
    role = ("Role", options.role) if options.role else ("ClusterRole", options.clusterrole)
    word = "RoleBinding" if plural == "rolebindings" else "ClusterRoleBinding"
    names = {"User": options.user, "Group": options.group}
    return binding_tree(word, name, role, names | {"ServiceAccount": options.serviceaccount})


def _resource_in(word: str, kinds: Kinds) -> tuple[str, str]:
    """Return the resource that a word means, with its part, and its group. Raises: Misused."""
    name, slash, part = word.partition("/")
    if name == "*":
        return word, "*"
    kind = kind_called(name, kinds)
    return f"{kind.plural}{slash}{part}", kind.group


def _words(given: Sequence[str]) -> list[str]:
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def _tree_of(kind: str, words: Sequence[str], options: Namespace, session: Session) -> Tree:
    """Return what the words mean.

    Raises: Misused, ApiError.
    """
    match kind, words:
        case "jobs.batch", [name] if options.origin:
            return job_from(name, _origin(options.origin, session))
        case "gpujobs.gpu.cubernetes.io", [name]:
            _need(options.origin, "from")
            allows = options.allow_stand_in
            return gpujob_tree(name, options.origin, gpus=options.gpus, allows_stand_in=allows)
        case "deployments.apps", [name]:
            _need(options.image, "image")
            return deployment_tree(name, options.image, options.replicas, options.port)
        case "jobs.batch", [name, *command]:
            _need(options.image, "image")
            return job_tree(name, options.image[-1], command)
        case "cronjobs.batch", [name, *command]:
            _need(options.image, "image")
            _need(options.schedule, "schedule")
            image, schedule, restart = options.image[-1], options.schedule, options.restart
            return cronjob_tree(name, image, command, schedule, restart)
        case _:
            raise Misused(WAYS)


def _origin(text: str, session: Session) -> Tree:
    """Return the CronJob that `--from` names."""
    word, _, name = text.partition("/")
    kind = kind_called(word, session.kinds)
    if (kind.group, kind.plural) != ("batch", "cronjobs") or not name:
        raise Misused("--from takes cronjob/NAME")
    return session.api.get(kind, name, session.namespace)


def _need(value: object, flag: str) -> None:
    if not value:
        raise Misused(f'required flag(s) "{flag}" not set')


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
    given: dict[str, str] = {}

    def rehearse(manifest: Manifest) -> bool:
        made = _created(manifest, session, validation, is_dry=True)
        given[manifest.where] = made["metadata"]["name"]
        return True

    if refused := refusals_of(manifests, rehearse):
        raise Rejected([*refused.values(), f"nothing was created: {len(refused)} refused"])
    return [given.get(one.where) or _stem(one) for one in manifests]


def _stem(manifest: Manifest) -> str:
    return manifest.name or str(manifest.tree["metadata"]["generateName"])


VERB = Verb(configure, run)
