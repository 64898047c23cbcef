"""The status of an object: read with it, written apart from it."""

from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs import apply, read, write

STATUS = Subresource(
    "status",
    (
        Method("GET", "get", read.get),
        Method("PUT", "update", write.update_status),
        Method("PATCH", "patch", apply.patch_status),
    ),
)
