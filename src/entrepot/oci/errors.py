"""What can be wrong with a digest, a name or a manifest as such, before anything is looked up."""

from entrepot.errors import Invalid


class DigestInvalid(Invalid):
    code = "digest_invalid"


class NameInvalid(Invalid):
    code = "name_invalid"


class TagInvalid(Invalid):
    code = "tag_invalid"


class ManifestInvalid(Invalid):
    code = "manifest_invalid"
