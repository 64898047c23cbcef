"""The one way by which a text from outside comes into nginx's configuration. Pure."""

# A token beyond this is refused by nginx, whose buffer has 4,096 bytes.
TOKEN_BYTES_MAX = 4000


class Unquotable(Exception):
    """A text that may stand in no configuration: a bug of what let it through to here."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} may not stand in a configuration")


def quoted(text: str) -> str:
    """Return a text as one token of nginx's configuration, whatever is in it.

    Between double quotes nginx's reader ends the token at a quote, and takes a backslash as the
    beginning of an escape; nothing else means anything to it. Directives that expand variables do
    so afterwards: their arguments are made by `literal`.

    Raises: Unquotable: the text holds a control character, or is too long.
    """
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or _is_lone(char) for char in text):
        raise Unquotable(text)
    token = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(token.encode()) > TOKEN_BYTES_MAX:
        raise Unquotable(text)
    return f'"{token}"'


def literal(text: str) -> str:
    """Return a text as one token where nginx expands variables, with none of its own expanded.

    nginx has no escape for a dollar: `$cube_dollar`, which the configuration defines, is one.

    Raises: Unquotable.
    """
    return quoted(text.replace("$", "${cube_dollar}"))


def _is_lone(char: str) -> bool:
    """Tell whether a character is half of a pair, which UTF-8 has no form for."""
    return 0xD800 <= ord(char) <= 0xDFFF
