"""Bodies that came packed by gzip or deflate: unpacked no further than a limit. Pure."""

import zlib

from tsdb.errors import BadData, LimitExceeded


def unpacked(body: bytes, coding: str, limit: int, name: str = "request_bytes") -> bytes:
    """Return a body without gzip or deflate; what another coding packed is left to the handler.

    Raises:
        LimitExceeded: it unpacks to more than limit bytes, the limit of that name.
        BadData: it is damaged.
    """
    coding = coding.lower()
    if not body or coding not in ("gzip", "deflate"):
        return body
    if coding == "gzip":
        window_bits = zlib.MAX_WBITS | 16
    else:
        # With zlib's head as the standard has it, or bare as some send it.
        has_head = body[0] & 0x0F == 8
        window_bits = zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
    unpacker = zlib.decompressobj(window_bits)
    try:
        whole = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadData(f"the body is not what {coding} packed") from error
    if len(whole) > limit:
        raise LimitExceeded(name, limit, len(whole))
    if not unpacker.eof or unpacker.unused_data:
        raise BadData(f"the body is not all, or not only, what {coding} packed")
    return whole
