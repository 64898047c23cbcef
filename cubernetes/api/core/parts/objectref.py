"""The name of an object in the namespace of what names it."""

from cubernetes.api.meta import Model


class LocalObjectReference(Model):
    """Another object of the same namespace; what names it says of which kind.

    name: the object's name.
    """

    name: str = ""
