"""Which functions of the programs may block: those that call into the kernel's files, and theirs.

Found by reading, so by name. A method of an object whose class is not to be seen counts as every
method of that name: too many rather than too few, and excuses say why.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property

from tests.house.sources import Source, of_rooms

PROGRAMS = ("cubernetes", "apiserver", "scheduler", "controllers", "kubelet", "proxy", "resolver")

MODULES = frozenset({"shutil", "subprocess"})  # whatever is called there
_FUNCTIONS = """
open time.sleep fcntl.flock ssl.create_default_context
os.access os.chdir os.chmod os.chown os.fdatasync os.fsync os.ftruncate os.link os.listdir
os.lstat os.makedirs os.mkdir os.open os.pread os.pwrite os.read os.readlink os.remove
os.removedirs os.rename os.replace os.rmdir os.scandir os.sendfile os.stat os.statvfs
os.symlink os.sync os.system os.truncate os.unlink os.utime os.waitpid os.walk os.write
os.path.exists os.path.getmtime os.path.getsize os.path.isdir os.path.isfile os.path.realpath
socket.create_connection socket.getaddrinfo socket.gethostbyname socket.getfqdn
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
# Of pathlib's paths and of TLS contexts. `open`, `rename` and `replace` are words of others too.
_METHODS = """
chmod exists expanduser glob hardlink_to is_dir is_file is_mount is_socket is_symlink iterdir
lchmod load_cert_chain load_verify_locations lstat mkdir read_bytes read_text readlink resolve
rglob rmdir samefile stat symlink_to touch unlink write_bytes write_text
"""
METHODS = frozenset(_METHODS.split())
# Of these, what the kernel itself keeps is all that they read and write: no file system can hang
# there, and the thread that enters a namespace must be the one that makes the socket in it.
KERNEL = (
    "kubelet.network.namespace.fd_of",
    "kubelet.network.namespace.inside",
    "kubelet.network.namespace.set_sysctl",
    "kubelet.network.look.*",
    "kubelet.network.routed.RoutedNetwork.news",
)
# A function that is given to one of these is called on the loop.
_CALLBACKS = """
add_done_callback add_reader add_signal_handler add_writer call_at call_later call_soon
call_soon_threadsafe on_change set_function
"""
CALLBACKS = frozenset(_CALLBACKS.split())


@dataclass(frozen=True)
class Function:
    """One function of the house; what stands inside it, and not in a function within."""

    source: Source
    owner: str  # its class, empty where it has none
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        return ".".join(part for part in (self.source.module, self.owner, self.node.name) if part)

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in _inside(self.node) if isinstance(node, ast.Call)]

    @cached_property
    def awaited(self) -> set[ast.AST]:
        return {node.value for node in _inside(self.node) if isinstance(node, ast.Await)}


def _inside(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function does when it is called: not what the functions within it do."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _inside(child)


@cache
def functions() -> tuple[Function, ...]:
    of_programs = (one for one in of_rooms() if one.room in PROGRAMS)
    return tuple(found for one in of_programs for found in functions_of(one))


def functions_of(source: Source) -> Iterator[Function]:
    def under(node: ast.AST, owner: str) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(source, owner, child)
                yield from under(child, "")
            else:
                yield from under(child, child.name if isinstance(child, ast.ClassDef) else owner)

    return under(source.tree, "")


class Graph:
    """Why each function that may block does: by its full name, what it calls."""

    def __init__(self, all_functions: tuple[Function, ...]) -> None:
        self._all = all_functions
        self.blocking: dict[str, str] = {}
        self._methods: dict[str, str] = {}  # of blocking methods: the bare name, and whose it is
        while sum(self._learn(one) for one in all_functions if not one.is_async):
            """Whoever calls what was learnt may block too."""

    def _learn(self, one: Function) -> bool:
        if one.name in self.blocking or any(fnmatchcase(one.name, each) for each in KERNEL):
            return False
        why = next(self.reasons(one), "")
        if why:
            self.blocking[one.name] = why
            if one.owner and not one.node.name.startswith("__"):
                self._methods[one.node.name] = one.name
        return bool(why)

    def reasons(self, one: Function) -> Iterator[str]:
        """Yield what a function calls that may block, each by its name."""
        awaited = one.awaited
        for call in one.calls:
            found = self._means(one, call.func, is_awaited=call in awaited)
            if found:
                yield found
            is_callback = isinstance(call.func, ast.Attribute) and call.func.attr in CALLBACKS
            for given in call.args if is_callback else ():
                if found := self._means(one, given, is_awaited=False):
                    yield f"{found}, as a callback"

    def _means(self, one: Function, said: ast.expr, *, is_awaited: bool) -> str:
        """Return which call that may block an expression means; empty where it is none.

        What is awaited is a coroutine, whatever else has its name.
        """
        origin = one.source.origin(said)
        if origin in FUNCTIONS or origin.partition(".")[0] in MODULES:
            return origin
        for name in self._candidates(one, origin):
            if name in self.blocking:
                return name
        if not isinstance(said, ast.Attribute) or is_awaited:
            return ""
        if origin.startswith("self.") and origin.count(".") == 1:
            return ""  # the class itself has no such method that blocks
        if said.attr in METHODS:
            return f"{ast.unparse(said.value)}.{said.attr}"
        owner = self._methods.get(said.attr, "")
        return owner if owner.partition(".")[0] in ("cubernetes", one.source.room) else ""

    def _candidates(self, one: Function, origin: str) -> Iterator[str]:
        module = one.source.module
        if origin.startswith("self."):
            yield f"{module}.{one.owner}.{origin.removeprefix('self.')}"
        elif origin:
            yield origin
            yield f"{origin}.__init__"
            yield f"{module}.{origin}"
            yield f"{module}.{origin}.__init__"


@cache
def graph() -> Graph:
    return Graph(functions())
