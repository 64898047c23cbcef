"""`cubectl cancel`: end GPU jobs, and keep them with their output."""

from argparse import ArgumentParser, Namespace

from cubectl.objects.gpujobs import is_gpujob
from cubectl.objects.targets import targets_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import ApiError


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="gpujob NAME | gpujob/NAME ...")


def run(options: Namespace, session: Session) -> None:
    for target in targets_in(options.words, session.kinds):
        if not is_gpujob(target):
            raise Misused(f"{target.kind.plural} cannot be cancelled, only GPU jobs; see delete")
        if not target.name:
            raise Misused("name which of the gpujobs")
        change = {"spec": {"cancel": True}}
        try:
            session.api.patch(target.kind, target.name, session.namespace, change)
        except ApiError as error:
            session.fail(safe(error.message))
        else:
            session.say(f"{name_of(target.kind, target.name)} is being cancelled")


VERB = Verb(configure, run)
