"""The highest head that was signed, kept in a file beside the keys: what the database had once, it must still have.

Who writes the database can remove the newest records, their heads and all that pends, and set the chain back. Nothing
in the database tells then; this file does. Every replica that signs has one.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.audit.signing import is_signed
from entrepot.errors import Unavailable

NAME = "audit.head"
ACCEPT = "entrepot audit accept-restored"
log = logging.getLogger(__name__)


class ChainBroken(Unavailable):
    """The records in the database are not those that were sealed."""

    code = "chain_broken"


@dataclass(frozen=True, slots=True)
class Witness:
    """The file, and the key that its head is signed with."""

    path: Path
    key: Ed25519PrivateKey

    def read(self) -> dict[str, Any] | None:
        """The head, as a statement: seq, hash, time, key_id, signature. None before the first. Raises ChainBroken."""
        try:
            head = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unreadable(str(error)) from error
        if not isinstance(head, dict) or not is_signed(self.key.public_key(), head):
            raise self._unreadable("it is not signed with the audit log's key")
        return head

    def keep(self, head: dict[str, Any]) -> None:
        """Put this head in the place of the one that is there, unless that is a higher one. Raises ChainBroken."""
        kept = self.read()
        if kept is None or kept["seq"] < head["seq"]:
            self.replace(head)

    def replace(self, head: dict[str, Any]) -> None:
        """Put this head in the place of any other. Where the file cannot be written, the log has the head."""
        log.info("the audit log is signed up to record %d, whose hash is %s", head["seq"], head["hash"])
        draft = self.path.with_name(f"{NAME}.{os.getpid()}")
        try:
            with draft.open("wb") as file:
                file.write(json.dumps(head, sort_keys=True).encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            log.warning("the end of the audit log could not be saved at %s: %s", self.path, error)

    def _unreadable(self, reason: str) -> ChainBroken:
        return ChainBroken(
            f"{self.path}, which keeps the end of the audit log, cannot be used: {reason}. Nothing newer is signed. "
            f"Put it back from a backup; or find out who changed it, compare the log with its exports, and run {ACCEPT}"
        )


def at(keys_directory: Path, key: Ed25519PrivateKey) -> Witness:
    return Witness(keys_directory / NAME, key)
