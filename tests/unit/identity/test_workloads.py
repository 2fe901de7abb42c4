"""Patterns of trust rules, and which claims fulfil them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.identity import workloads
from entrepot.identity.assertions import Assertion
from entrepot.identity.workloads import WILDCARDS_MAX, TrustRule, TrustRuleInvalid, check, fulfils, matches, matching

GITHUB = {
    "sub": "repo:acme/app:environment:production",
    "repository": "acme/app",
    "repository_owner": "acme",
    "repository_id": "74",
    "ref": "refs/heads/release/1.2",
    "ref_type": "branch",
    "environment": "production",
    "head_ref": "",
    "run_attempt": "1",
}
GITLAB = {
    "sub": "project_path:group/sub/app:ref_type:branch:ref:main",
    "project_path": "group/sub/app",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
    "user_identities": [{"provider": "github", "extern_uid": "1"}],
}


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("acme/app", "acme/app", True),
        ("acme/app", "acme/app2", False),
        ("acme/app", "xacme/app", False),
        ("acme/app", "Acme/app", False),
        ("acme/app", "acme/app\n", False),
        ("acme/*", "acme/app", True),
        ("acme/*", "acme/", True),
        ("acme/*", "acme/sub/app", False),
        ("acme/*", "evil/acme/app", False),
        ("acme/**", "acme/sub/app", True),
        ("acme/**", "acme-evil/app", False),
        ("*", "main", True),
        ("*", "a/b", False),
        ("*", "a:b", False),
        ("**", "a/b:c", True),
        ("**", "", False),
        ("*", "", False),
        ("release-*", "release-", True),
        ("refs/heads/*", "refs/heads/main", True),
        ("refs/heads/*", "refs/tags/main", False),
        ("*/*", "a/b", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "a1b2", False),
        ("a**c*", "abc/c1", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:environment:x:ref:refs/heads/main", False),
        ("v1.2", "v112", False),
        ("[a-z]", "b", False),
        ("a?", "ab", False),
        ("(a|b)", "a", False),
        ("é", "é", True),
    ],
)
def test_pattern_matches_the_whole_value_or_not(pattern: str, value: str, expected: bool) -> None:
    assert matches(pattern, value) is expected


@settings(max_examples=300, deadline=None)
@given(st.text("ab/:*", max_size=8).filter(lambda text: "***" not in text), st.text("ab/:", max_size=10))
def test_pattern_of_anything_means_what_an_expression_means(pattern: str, value: str) -> None:
    parts = {"*": "[^/:]*", "**": ".*"}
    expression = "".join(parts.get(part, re.escape(part)) for part in re.findall(r"\*\*|.", pattern))

    assert matches(pattern, value) is (bool(value) and re.fullmatch(expression, value, re.DOTALL) is not None)


def test_pattern_of_many_wildcards_is_answered() -> None:
    """An expression that goes back and tries again would not come to an end."""
    pattern = "**a" * (WILDCARDS_MAX - 1) + "**b"

    assert not matches(pattern, "a" * 1024)
    assert matches(pattern, "a" * 1023 + "b")


def test_value_that_is_too_long_matches_nothing() -> None:
    assert matches("**", "a" * 1024)
    assert not matches("**", "a" * 1025)


@pytest.mark.parametrize(
    ("claims", "patterns", "expected"),
    [
        (GITHUB, {"repository": "acme/app", "ref": "refs/heads/release/*"}, True),
        (GITHUB, {"repository": "acme/app", "ref": "refs/heads/*"}, False),
        (GITHUB, {"repository": "acme/app", "environment": "production"}, True),
        (GITHUB, {"repository": "acme/app", "environment": "staging"}, False),
        (GITHUB, {"repository": "acme/*", "head_ref": "**"}, False),
        (GITHUB, {"repository": "acme/*", "job_workflow_ref": "**"}, False),
        (GITHUB, {}, False),
        (GITLAB, {"project_path": "group/**", "ref": "main", "ref_type": "branch"}, True),
        (GITLAB, {"project_path": "group/*", "ref": "main", "ref_type": "branch"}, False),
        (GITLAB, {"project_path": "group/sub/app", "ref": "main", "ref_type": "tag"}, False),
        (GITLAB, {"ref_protected": "true"}, True),
        (GITLAB, {"user_identities": "**"}, False),
    ],
)
def test_claims_of_ci_systems_fulfil_a_rule_or_not(
    claims: dict[str, object], patterns: dict[str, str], expected: bool
) -> None:
    assert fulfils(claims, patterns) is expected


@pytest.mark.parametrize(
    ("claim", "pattern", "expected"),
    [
        (True, "true", True),
        (True, "True", False),
        (True, "1", False),
        (False, "false", True),
        (12, "12", True),
        (10**60, "**", False),
        (1.0, "**", False),
        (None, "**", False),
        ({"a": "b"}, "**", False),
        (["x", "main"], "main", True),
        (["x", "y"], "main", False),
        ([], "**", False),
        ([["main"]], "main", False),
        ([None, 5], "5", True),
    ],
)
def test_claims_of_every_type_match_or_never_do(claim: object, pattern: str, expected: bool) -> None:
    assert fulfils({"claim": claim}, {"claim": pattern}) is expected


def test_rules_that_match_are_of_the_provider_and_the_audience() -> None:
    def rule(number: int, provider: str, audience: str, **claims: str) -> TrustRule:
        return TrustRule(number, number, provider, audience, claims)

    rules = (
        rule(1, "github", "registry", repository="acme/app"),
        rule(2, "gitlab", "registry", repository="acme/app"),
        rule(3, "github", "another", repository="acme/app"),
        rule(4, "github", "registry", repository="acme/*"),
        rule(5, "github", "registry", repository="acme/api"),
        rule(6, "github", "registry"),
    )
    assertion = Assertion("https://issuer", "s", ("registry",), None, 0, GITHUB)

    assert [found.id for found in matching(rules, "github", assertion)] == [1, 4]


@pytest.mark.parametrize(
    ("audience", "claims"),
    [
        ("", {"repository": "acme/app"}),
        ("a" * 256, {"repository": "acme/app"}),
        ("registry", {}),
        ("registry", {"repository": "**"}),
        ("registry", {"repository": "*/*", "ref": "*"}),
        ("registry", {"repository": ""}),
        ("registry", {"": "acme/app"}),
        ("registry", {"repository": "acme/***"}),
        ("registry", {"repository": "a\x00"}),
        ("registry", {"repository": "a" * 256}),
        ("registry", {"repository": "a*" * (WILDCARDS_MAX + 1)}),
        ("registry", {f"claim{number}": "a" for number in range(workloads.CLAIMS_MAX + 1)}),
    ],
)
def test_rule_that_would_trust_everybody_or_cannot_be_kept_is_refused(audience: str, claims: dict[str, str]) -> None:
    with pytest.raises(TrustRuleInvalid):
        check(audience, claims)
