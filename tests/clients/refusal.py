"""How the clients say that a registry did not let them in."""

import re
from subprocess import CompletedProcess

REFUSALS = (
    "unauthorized",
    "access denied",
    "authorization failed",
    "invalid username/password",
    # Where a registry asks for Basic credentials, and the client has none:
    "no basic auth credentials",
    "basic credential not found",
)
REFUSED = re.compile("|".join(REFUSALS), re.IGNORECASE)


def assert_refused(ended: CompletedProcess[str]) -> None:
    """The command failed, and for want of the right credentials."""
    assert ended.returncode != 0
    assert REFUSED.search(ended.stderr), ended.stderr
