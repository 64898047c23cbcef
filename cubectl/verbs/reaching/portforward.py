"""`cubectl port-forward`: ports of this machine lead to a pod's, until Ctrl-C."""

from argparse import ArgumentParser, Namespace

from cubectl.connection.transport import Unreachable
from cubectl.objects.podof import is_running, pod_of
from cubectl.objects.ports import ports_of
from cubectl.objects.targets import PODS
from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.client.wire.paths import path_of, target_of

LOCALHOST = ("127.0.0.1", "::1")


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl port-forward POD|TYPE/NAME [LOCAL:]REMOTE ..."
    parser.add_argument("words", nargs="*", metavar="POD [LOCAL:]REMOTE")
    parser.add_argument(
        "--address",
        default="localhost",
        help="where to listen: addresses of this machine, with commas between them",
    )


def run(options: Namespace, session: Session) -> None:
    if len(options.words) < 2:
        raise Misused("name a pod and its ports: cubectl port-forward web-0 8080:80")
    found = pod_of(options.words[0], session)
    ports = [ports_of(word, found.pod, found.service) for word in options.words[1:]]
    if not is_running(found.pod):
        phase = (found.pod.get("status") or {}).get("phase", "Unknown")
        said = "unable to forward port because pod is not running. Current status="
        raise Failed(said + str(phase))
    addresses: list[str] = []
    for word in options.address.split(","):
        addresses += LOCALHOST if word == "localhost" else [word]
    # asyncio and aiohttp are slow to import, and nothing else here needs them.
    from cubectl.connection.forwarding import HandshakeRefused, Plan, forward

    target = target_of(path_of(PODS, session.namespace, found.name, "portforward"))
    place, timeout_s = session.transport.place, session.choice.timeout_s
    plan = Plan(ports, addresses, session.say, lambda text: session.tell(safe(text)))
    try:
        forward(place, target, plan, timeout_s)
    except HandshakeRefused as refused:
        # Why, only an answer that is no handshake can say.
        session.api.raw(target)
        raise Unreachable(str(refused)) from refused
    except KeyboardInterrupt:
        return  # this is how it is meant to end
    except OSError as error:
        raise Failed(f"unable to listen on any of the requested ports: {error}") from error


VERB = Verb(configure, run)
