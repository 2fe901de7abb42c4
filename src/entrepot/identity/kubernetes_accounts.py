"""Service accounts of a cluster, from their verified tokens. Pure."""

import re

from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.external import ExternalUser

PREFIX = "system:serviceaccount:"
EVERY_ACCOUNT = "system:serviceaccounts"
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
NAME_CHARACTERS_MAX = 255
"""What the registry keeps of a user's name."""


def external_user(assertion: Assertion) -> ExternalUser:
    """The account, called namespace/name, in the groups that the cluster itself has it in. Raises TokenInvalid.

    An account that is deleted and made again under its name is the same one, as it is for the cluster's own rules.
    """
    prefix, _, rest = assertion.subject.partition(PREFIX)
    namespace, _, name = rest.partition(":")
    if prefix or not _NAMESPACE.fullmatch(namespace) or not _NAME.fullmatch(name):
        raise TokenInvalid("the token does not belong to a service account")
    if len(assertion.subject) > NAME_CHARACTERS_MAX:
        raise TokenInvalid(f"the service account's name is longer than {NAME_CHARACTERS_MAX} characters")
    bound = assertion.claims.get("kubernetes.io")
    if bound is not None and _claimed(bound) != (namespace, name):
        raise TokenInvalid("the token's subject and its kubernetes.io claims name different accounts")
    return ExternalUser(
        subject=assertion.subject,
        name=f"{namespace}/{name}",
        groups=(EVERY_ACCOUNT, f"{EVERY_ACCOUNT}:{namespace}"),
    )


def _claimed(bound: object) -> tuple[object, object] | None:
    if not isinstance(bound, dict):
        return None
    account = bound.get("serviceaccount")
    return bound.get("namespace"), account.get("name") if isinstance(account, dict) else None
