"""`cubectl completion`: what makes a shell ask us what may stand behind a line; and our answer."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cubectl.completion.candidates import Known, candidates, line_of
from cubectl.completion.plugins import PREFIX, plugins_in
from cubectl.connection.kubeconfig import KubeconfigWrong
from cubectl.connection.transport import Unreachable
from cubectl.output.printers import safe
from cubectl.session import Session
from cubectl.verb import Verb, add_common
from cubernetes.api.errors import ApiError
from cubernetes.api.resource import Resource
from cubernetes.client.wire.catalog import Malformed

# A person waits for each answer.
ANSWER_S = 3.0
BASH = """\
# bash completion for cubectl: source <(cubectl completion bash)
_cubectl() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(cubectl __complete bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    [ "${#COMPREPLY[@]}" -gt 0 ] || compopt -o default 2>/dev/null
}
complete -F _cubectl cubectl
"""
ZSH = """\
#compdef cubectl
# zsh completion for cubectl: source <(cubectl completion zsh)
_cubectl() {
    local -a found
    found=("${(@f)$(cubectl __complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ${#found} )); then compadd -- "${found[@]}"; else _files; fi
}
compdef _cubectl cubectl
"""
FISH = """\
# fish completion for cubectl: cubectl completion fish | source
function __cubectl_complete
    set -l typed (commandline -opc) (commandline -ct)
    cubectl __complete fish -- $typed[2..-1] 2>/dev/null
end
complete -c cubectl -f -a '(__cubectl_complete)'
complete -c cubectl -s f -l filename -r -F
"""
SHELLS: Mapping[str, str] = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SHELLS))


def run(options: Namespace, session: Session) -> None:
    session.out.write(SHELLS[options.shell])


def complete(verbs: Mapping[str, Callable[[], Verb]]) -> Verb:
    """Return the verb that shells call; verbs: all that people call."""
    return Verb(configure, partial(_complete, verbs), takes_command=True)


def parser_of(loaded: Callable[[], Verb]) -> ArgumentParser:
    """Return a parser whose flags and words are a verb's."""
    parser = ArgumentParser(add_help=False)
    loaded().configure(parser)
    add_common(parser, is_main=False)
    return parser


def _complete(
    verbs: Mapping[str, Callable[[], Verb]], options: Namespace, session: Session
) -> None:
    """Print what may stand there; nothing where the cluster does not tell: the line is typed on."""
    session.choice = session.choice._replace(timeout_s=ANSWER_S)
    names = partial(_names, session)
    parsers = {name: partial(parser_of, loaded) for name, loaded in verbs.items()}
    known = Known(parsers, lambda: session.kinds.catalog.resources, names)
    line = line_of(options.command)
    try:
        found = candidates(line, known)
    except (ApiError, KubeconfigWrong, Malformed, Unreachable):
        return
    for one in found:
        session.say(safe(one))


def _names(session: Session, kind: Resource, namespace: str) -> Sequence[str]:
    place = (namespace or session.namespace) if kind.namespaced else ""
    return [str(tree["metadata"]["name"]) for tree in session.api.list(kind, place).items]


def configure_plugin(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("list",))


def list_plugins(_options: Namespace, session: Session) -> None:
    found = plugins_in(session.environment.get("PATH", ""))
    if not found:
        session.fail(f"no program on PATH begins with {PREFIX}")
    for path in found:
        session.say(safe(path))


COMPLETION = Verb(configure, run)
PLUGIN = Verb(configure_plugin, list_plugins)
