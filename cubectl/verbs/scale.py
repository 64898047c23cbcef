"""`cubectl scale`: change how many replicas a workload has."""

from argparse import ArgumentParser, Namespace

from cubectl.objects.targets import targets_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import ApiError


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="KIND NAME | KIND/NAME ...")
    parser.add_argument("--replicas", type=int, required=True, metavar="COUNT")


def run(options: Namespace, session: Session) -> None:
    if options.replicas < 0:
        raise Misused("--replicas: must be 0 or more")
    change = {"spec": {"replicas": options.replicas}}
    for target in targets_in(options.words, session.kinds):
        plural = target.kind.plural
        if "scale" not in target.kind.subresources:
            raise Misused(f"{plural} have no replicas")
        if not target.name:
            raise Misused(f"name which of the {plural}")
        try:
            session.api.patch(
                target.kind, target.name, session.namespace, change, subresource="scale"
            )
        except ApiError as error:
            session.fail(safe(error.message))
        else:
            session.say(f"{name_of(target.kind, target.name)} scaled")


VERB = Verb(configure, run)
