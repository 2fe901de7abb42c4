"""What can be wrong with a namespace."""

from entrepot.errors import NotFound


class NamespaceUnknown(NotFound):
    """It has no setting of its own."""

    code = "namespace_unknown"
