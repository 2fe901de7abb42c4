"""Every path and key in a blob store.

    <root>/uploads/<upload id>.<part>                       bytes received so far: one file that grows (local files), or
                                                            an object for each request that sent some (object store)
    <root>/blobs/<algorithm>/<hh>/<hex>.<upload id>.<part>  a committed blob; hh is the first two characters of hex
    <root>/garbage/<location with ! for />                  what nothing names, moved aside until it is removed
    <root>/registry.json                                    which registry the store belongs to
    <root>/audit/<first>-<last>.<part>.jsonl.gz             archived audit records; collection never looks there

The digest in a blob's name lets an operator find and verify it without the database; the part makes it unique.
"""

import secrets

from entrepot.oci.digest import Digest

UPLOADS = "uploads"
BLOBS = "blobs"
AUDIT = "audit"
GARBAGE = "garbage"
IDENTITY = "registry.json"


def new_part() -> str:
    """A name that no part of an upload has had."""
    return secrets.token_hex(8)


def part(upload_id: str, name: str) -> str:
    return f"{UPLOADS}/{upload_id}.{name}"


def blob(digest: Digest, upload_id: str, name: str) -> str:
    return f"{BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}.{upload_id}.{name}"


def audit_segment(first_seq: int, last_seq: int, name: str) -> str:
    """Numbers have as many digits as there can be, so that a listing has them in order."""
    return f"{AUDIT}/{first_seq:019d}-{last_seq:019d}.{name}.jsonl.gz"


def aside(location: str) -> str:
    """Where garbage is kept that was at a location; in one folder, so that a listing finds it all."""
    return f"{GARBAGE}/{location.replace('/', '!')}"


def before_aside(location: str) -> str:
    """Where garbage was before it was moved aside."""
    return location.partition("/")[2].replace("!", "/")


def upload_id(location: str) -> str:
    """The upload that wrote what is at a location."""
    folder, _, rest = location.partition("/")
    name = rest.rpartition("/")[2]
    return (name if folder == UPLOADS else name.partition(".")[2]).partition(".")[0]
