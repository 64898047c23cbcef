"""Says hello: curl "http://NODE:6810/hello?name=x"."""

from typing import Any


def action(req: Any) -> dict[str, str]:
    return {"hello": req.param("name", "world")}
