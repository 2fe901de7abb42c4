"""Service accounts in verified tokens."""

import pytest

from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.external import ExternalUser
from entrepot.identity.kubernetes_accounts import external_user


def assertion(subject: str, **claims: object) -> Assertion:
    return Assertion("https://kubernetes.default.svc", subject, ("registry",), 0, 60, {"sub": subject, **claims})


def test_account_of_a_projected_token_has_the_groups_of_its_namespace() -> None:
    bound = {
        "namespace": "team",
        "node": {"name": "n1"},
        "pod": {"name": "app-0", "uid": "1"},
        "serviceaccount": {"name": "puller", "uid": "2"},
    }

    user = external_user(assertion("system:serviceaccount:team:puller", **{"kubernetes.io": bound}))

    assert user == ExternalUser(
        subject="system:serviceaccount:team:puller",
        name="team/puller",
        groups=("system:serviceaccounts", "system:serviceaccounts:team"),
    )


def test_account_without_more_claims_is_its_subject() -> None:
    assert external_user(assertion("system:serviceaccount:a:default.v2")).name == "a/default.v2"


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "system:serviceaccount:",
        "system:serviceaccount:team",
        "system:serviceaccount:team:",
        "system:serviceaccount::puller",
        "system:serviceaccount:team:puller:more",
        "system:serviceaccount:team/x:puller",
        "system:serviceaccount:team:../puller",
        "system:serviceaccount:Team:puller",
        "system:serviceaccount:team:puller\n",
        "x system:serviceaccount:team:puller",
        "system:node:n1",
        "repo:acme/app:ref:refs/heads/main",
        "system:serviceaccount:team:" + "a" * 253,
    ],
)
def test_subject_that_is_no_service_account_is_refused(subject: str) -> None:
    with pytest.raises(TokenInvalid):
        external_user(assertion(subject))


@pytest.mark.parametrize(
    "bound",
    [
        "text",
        {},
        {"namespace": "team"},
        {"namespace": "other", "serviceaccount": {"name": "puller"}},
        {"namespace": "team", "serviceaccount": {"name": "other"}},
        {"namespace": "team", "serviceaccount": "puller"},
    ],
)
def test_claims_that_name_another_account_than_the_subject_are_refused(bound: object) -> None:
    with pytest.raises(TokenInvalid, match="different"):
        external_user(assertion("system:serviceaccount:team:puller", **{"kubernetes.io": bound}))
