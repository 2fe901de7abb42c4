"""What can be wrong with a digest, a name or a manifest as such, before anything is looked up."""

from entrepot.errors import Invalid


class DigestInvalid(Invalid):
    pass


class NameInvalid(Invalid):
    pass


class TagInvalid(Invalid):
    pass


class ManifestInvalid(Invalid):
    pass
