"""From a request's body to a tree or an object, whatever its media type."""

from msgspec.structs import replace

from apiserver.call import Call, media_of
from apiserver.wire import protobuf
from cubernetes.api.coding import codec
from cubernetes.api.coding.codec import Reading
from cubernetes.api.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from cubernetes.api.meta import Model, Object
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.notation.jsontext import Tree
from cubernetes.host.web.messages import BodyBroken, BodyTooLarge, Request, Response, Unread

# Of all warnings together, as Kubernetes bounds them: clients read header lines of some 8 kB.
WARNINGS_BYTES_MAX = 4096
# Of one that grows with what it is about: its beginning is told, and the next one as well.
WARNING_BYTES_MAX = 2000
# Of the whole header, as it goes over the wire.
HEADER_BYTES_MAX = 8000
JSON_MEDIA = "application/json"
YAML_MEDIA = ("application/yaml", "application/x-yaml", "text/yaml")


async def read(unread: Unread) -> bytes:
    """Take a body from the client.

    Raises: RequestTooLarge, BadRequest: it did not come in time, or not as its head says.
    """
    try:
        return await unread.read()
    except BodyTooLarge as error:
        raise RequestTooLarge(str(error)) from error
    except BodyBroken as error:
        raise BadRequest(str(error)) from error


def check_head(request: Request, body_bytes: int, bytes_max: int) -> None:
    """Refuse a body that is not to be read at all.

    Raises: RequestTooLarge, UnsupportedMediaType.
    """
    if body_bytes > bytes_max:
        raise RequestTooLarge(f"the body has over {bytes_max} bytes")
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {coding[:40]!r} is not taken")


def tree_in(call: Call) -> Tree:
    """Return the tree of a body: JSON, YAML, or Kubernetes' protobuf. Strict.

    Raises: BadRequest, UnsupportedMediaType.
    """
    media = media_of(call.request.headers.get("content-type", ""))
    if media == JSON_MEDIA:
        return jsontext.tree_of(call.request.body)
    if media in YAML_MEDIA:
        return yaml.tree_of(call.request.body)
    if media == protobuf.MEDIA:
        strategy = call.route.strategy
        more = strategy.messages if strategy is not None else ""
        return protobuf.tree_of(call.request.body, more)
    raise UnsupportedMediaType(f"{media[:80]!r}: send application/json or application/yaml")


def _warned_tree(call: Call) -> tuple[Tree, tuple[str, ...]]:
    """Return the tree of a body, and what is wrong with it that the client wants to be told of."""
    media = media_of(call.request.headers.get("content-type", ""))
    if media == JSON_MEDIA:
        return json_in(call)
    if media in YAML_MEDIA:
        return yaml_in(call)
    return tree_in(call), ()


def yaml_in(call: Call) -> tuple[Tree, tuple[str, ...]]:
    """Return a YAML body, and the warnings that it calls for.

    Raises: BadRequest: it is not YAML, or (Strict) a field stands twice.
    """
    if call.validation == "Strict":
        return yaml.tree_of(call.request.body), ()
    tree, duplicates = yaml.lenient_tree_of(call.request.body)
    return tree, duplicates if call.validation == "Warn" else ()


def json_in(call: Call, body: bytes | None = None) -> tuple[Tree, tuple[str, ...]]:
    """Return a JSON body (by default the call's own), and the warnings that it calls for.

    Raises: BadRequest: it is not JSON, or (Strict) a field stands twice.
    """
    content = call.request.body if body is None else body
    if call.validation == "Strict":
        return jsontext.tree_of(content), ()
    tree, duplicates = jsontext.lenient_tree_of(content)
    return tree, duplicates if call.validation == "Warn" else ()


def object_in(call: Call) -> Reading[Object]:
    """Return the object of the body, of the kind that the path says.

    Raises: BadRequest, Invalid, UnsupportedMediaType.
    """
    if (model := _plainly_in(call, call.kind)) is not None:
        return Reading(model, tuple(model.advice()))
    tree, warnings = _warned_tree(call)
    reading = changed_to(call, tree)
    return Reading(reading.model, (*warnings, *reading.warnings))


def _plainly_in[M: Model](call: Call, kind: type[M]) -> M | None:
    """Return the model of a JSON body with nothing in it to be told of."""
    media = media_of(call.request.headers.get("content-type", ""))
    return codec.plainly_read(kind, call.request.body) if media == JSON_MEDIA else None


def changed_to(call: Call, tree: Tree) -> Reading[Object]:
    """Return the object that a tree is, as strictly as the client asked.

    Raises: BadRequest, Invalid.
    """
    is_about_status = call.route.subresource == "status"
    reading = codec.from_tree(call.kind, tree, call.validation, is_status_heard=is_about_status)
    if advice := tuple(reading.model.advice()):
        return Reading(reading.model, (*reading.warnings, *advice))
    return reading


def model_in[M: Model](call: Call, kind: type[M]) -> M:
    """Return a body that is no object of the registry: DeleteOptions, Binding. Strict.

    Raises: BadRequest, UnsupportedMediaType.
    """
    if (model := _plainly_in(call, kind)) is not None:
        return model
    return codec.model_from_tree(kind, tree_in(call), kind.__name__)


def deprecated(response: Response, kind: type[Object] | None) -> Response:
    """Return a response that tells its client to leave a version of a kind, where it is to."""
    if kind is None or not kind.deprecation:
        return response
    told = warning_header((kind.deprecation,))["Warning"]
    return _with_warnings(response, told, response.headers.get("Warning", ""))


def warned(response: Response, warnings: tuple[str, ...]) -> Response:
    """Return a response that tells its client this, too."""
    if not warnings:
        return response
    short = (text.encode()[:WARNING_BYTES_MAX].decode(errors="ignore") for text in warnings)
    told = warning_header(tuple(short))
    return _with_warnings(response, response.headers.get("Warning", ""), told.get("Warning", ""))


def _with_warnings(response: Response, *told: str) -> Response:
    """Return a response with these as its header, as far as there is room, the first ones first."""
    warning = ""
    for one in filter(None, told):
        more = f"{warning}, {one}" if warning else one
        if len(more.encode()) <= HEADER_BYTES_MAX:
            warning = more
    return replace(response, headers={**response.headers, "Warning": warning})


def warning_header(warnings: tuple[str, ...]) -> dict[str, str]:
    """Return the header that tells what was tolerated; kubectl prints it."""
    escaped = [text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings]
    told, left_bytes = "", WARNINGS_BYTES_MAX
    for text in escaped:
        one = f'299 - "{text}"'
        left_bytes -= len(one.encode()) + 2
        if left_bytes < 0:
            break
        told += f", {one}" if told else one
    return {"Warning": "".join(letter for letter in told if letter.isprintable())} if told else {}
