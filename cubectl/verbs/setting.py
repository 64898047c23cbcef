"""`cubectl set image`: other images for the containers of a workload or a pod."""

from argparse import ArgumentParser, Namespace

from cubectl.objects.rollouts import with_images
from cubectl.objects.targets import targets_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubectl.verbs.rollout import change_object
from cubernetes.api.errors import ApiError


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("field", choices=("image",))
    parser.add_argument("words", nargs="+", metavar="KIND NAME | KIND/NAME ... CONTAINER=IMAGE ...")


def run(options: Namespace, session: Session) -> None:
    images = dict(_pair(word) for word in options.words if "=" in word)
    targets = targets_in([word for word in options.words if "=" not in word], session.kinds)
    if not images:
        raise Misused("at least one image update is required: CONTAINER=IMAGE")
    for target in targets:
        if not target.name:
            raise Misused(f"name which of the {target.kind.plural}")
        try:
            is_changed = change_object(
                target, session.namespace, session, lambda tree: with_images(tree, images)
            )
        except ApiError as error:
            session.fail(safe(error.message))
        except Failed as error:
            session.fail(safe(str(error)))
        else:
            # As kubectl, nothing is said of what is so already.
            if is_changed:
                session.say(f"{name_of(target.kind, target.name)} image updated")


def _pair(word: str) -> tuple[str, str]:
    name, _, image = word.partition("=")
    if not name or not image:
        raise Misused(f"{word!r}: write CONTAINER=IMAGE, or *=IMAGE for all")
    return name, image


VERB = Verb(configure, run)
