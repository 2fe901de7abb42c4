"""What commits announce: every topic, who announces it, and what workers remember under it.

Whatever is remembered under a topic is forgotten by all workers once a transaction that has announced it is committed.
"""

from typing import NewType

Topic = NewType("Topic", str)
"""Made in this file only. All but those of `content` are in capitals, which no repository's name has."""

USERS = Topic("USERS")
"""Announced by `identity/users.py` when any user is added, changed or removed.

Remembered: users by their numbers; whose passwords, certificates and workloads' tokens were right; the highest cost of
bcrypt.
"""

ACCESS = Topic("ACCESS")
"""Announced by `access/grants.py`, `access/roles.py`, and `identity/groups.py`, as groups matter to nothing but access.

Remembered: the rights of a user, those of the user's groups and of everybody included; and of who is not signed in.
"""

TOKENS = Topic("TOKENS")
"""Announced by `identity/tokens.py` when tokens are removed or end sooner. Remembered: stored tokens by their ids."""

SESSIONS = Topic("SESSIONS")
"""Announced by `identity/sessions.py` when sessions are ended. Remembered: the sessions of browsers."""

TRUST_RULES = Topic("TRUST RULES")
"""Announced by `identity/workloads.py`. Remembered: the rules of all robots, by provider."""

OF_A_USER = (USERS, ACCESS, TOKENS, SESSIONS, TRUST_RULES)
"""All under which anything is remembered of one user. Removing a user announces them all."""

NAMESPACES = Topic("NAMESPACES")
"""Announced by `namespaces/namespaces.py`. Remembered: whether a repository is public."""

BEARERS = Topic("BEARERS")
"""Never announced: a signature that is right stays right. Remembered: what bearer tokens say, not whether it holds."""

RIGHT_PASSWORDS = Topic("RIGHT PASSWORDS")
"""Never announced: it is looked whether the hash is still the user's.

Remembered: local users, and the hashes that their passwords were compared with. Else a change of any user would have
everybody's password hashed again, 0.25 s each.
"""

FORGIVEN = Topic("FORGIVEN")
"""Never announced. Remembered: when it was last looked whether somebody who is right had failed before."""


def content(repository: str) -> Topic:
    """Announced by `content/` when a tag moves, when something is removed, and when damaged bytes are replaced.

    Remembered: the repository's manifests by tag and by digest, and its blobs.
    """
    # As it is, because calling Topic takes as long as half a lookup.
    return repository  # type: ignore[return-value]
