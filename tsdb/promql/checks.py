"""Whether the parts of an expression fit together: the rules of types, with Prometheus' words."""

from collections.abc import Sequence

from tsdb.errors import BadData
from tsdb.promql.functions.signatures import WITH_PARAMETER, Signature
from tsdb.promql.tree import Binary, Cardinality, Matching, Node, Type

COMPARISONS = frozenset({"==", "!=", "<=", "<", ">=", ">"})
SET_OPS = frozenset({"and", "or", "unless"})
_OPERANDS = (Type.SCALAR, Type.VECTOR)


def check_binary(node: Binary) -> None:
    """Refuse operands that no operator takes.

    Raises:
        BadData: says which rule is broken.
    """
    types = (node.left.type, node.right.type)
    if any(found not in _OPERANDS for found in types):
        raise BadData(
            "parse error: binary expression must contain only scalar and instant vector types"
        )
    scalars = types.count(Type.SCALAR)
    if scalars == 2 and node.op in COMPARISONS and not node.returns_bool:
        raise BadData("parse error: comparisons between scalars must use BOOL modifier")
    if scalars and node.op in SET_OPS:
        raise BadData(
            f"parse error: set operator {node.op!r} not allowed in binary scalar expression"
        )
    if scalars and (node.matching.labels or _is_grouped(node.matching)):
        raise BadData("parse error: vector matching only allowed between instant vectors")
    both = set(node.matching.labels) & set(node.matching.include)
    if node.matching.on and both:
        raise BadData(
            f"parse error: label {min(both)!r} must not occur in ON and GROUP clause at once"
        )


def _is_grouped(matching: Matching) -> bool:
    return matching.cardinality in (Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_MANY)


def check_call(name: str, signature: Signature, arguments: Sequence[Node]) -> None:
    """Refuse a wrong number of arguments, or one of a wrong type."""
    wanted = len(signature.takes)
    least = wanted - signature.optional - signature.variadic
    if len(arguments) < least or (len(arguments) > wanted and not signature.variadic):
        raise BadData(
            f"parse error: expected {wanted if not signature.optional else least} argument(s) "
            f"in call to {name!r}, got {len(arguments)}"
        )
    for place, argument in enumerate(arguments):
        _check_type(signature.takes[min(place, wanted - 1)], argument, f"call to function {name!r}")


def _check_type(wanted: Type, node: Node, where: str) -> None:
    if node.type is not wanted:
        raise BadData(f"parse error: expected type {wanted} in {where}, got {node.type}")


def check_aggregation(op: str, arguments: Sequence[Node]) -> tuple[Node, Node | None]:
    """Return the vector and the parameter of an aggregation, if they are what it takes."""
    wanted = 2 if op in WITH_PARAMETER else 1
    if len(arguments) != wanted:
        raise BadData(
            "parse error: wrong number of arguments for aggregate expression provided, "
            f"expected {wanted}, got {len(arguments)}"
        )
    inner = arguments[-1]
    _check_type(Type.VECTOR, inner, "aggregation expression")
    if wanted == 1:
        return inner, None
    _check_type(WITH_PARAMETER[op], arguments[0], f"aggregation parameter of {op}")
    return inner, arguments[0]
