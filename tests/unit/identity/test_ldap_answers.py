"""Result codes of binds: whose fault it is, and who is told what."""

import pytest

from entrepot.identity.errors import AccountDisabled, CredentialsInvalid
from entrepot.identity.ldap_answers import BindAnswer, Refused, admitted, policy_error

AD_DIAGNOSTICS = "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {}, v4563"


def test_bind_that_succeeds_is_admitted() -> None:
    assert admitted(BindAnswer(0))


@pytest.mark.parametrize("answer", [BindAnswer(32), BindAnswer(49, AD_DIAGNOSTICS.format("525"))])
def test_bind_of_nobody_is_of_a_user_unknown(answer: BindAnswer) -> None:
    assert not admitted(answer)


@pytest.mark.parametrize(
    "answer",
    [
        BindAnswer(49),
        BindAnswer(49, AD_DIAGNOSTICS.format("52e")),
        BindAnswer(49, AD_DIAGNOSTICS.format("0")),
        BindAnswer(49, "data"),
        BindAnswer(48),
    ],
)
def test_bind_with_a_wrong_password_is_refused(answer: BindAnswer) -> None:
    with pytest.raises(CredentialsInvalid):
        admitted(answer)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (BindAnswer(49, AD_DIAGNOSTICS.format("530")), "at this time"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("531")), "from here"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("532")), "password has expired"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("533")), "disabled"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("701")), "account has expired"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("773")), "must be changed"),
        (BindAnswer(49, AD_DIAGNOSTICS.format("775")), "locked"),
        (BindAnswer(49, policy_error=0), "password has expired"),
        (BindAnswer(49, policy_error=1), "locked"),
        (BindAnswer(0, policy_error=2), "must be changed"),
        (BindAnswer(53, "Account inactivated. Contact system administrator."), "disabled"),
        (BindAnswer(19, "Exceed password retry limit. Please try later."), "locked"),
    ],
)
def test_bind_of_an_account_that_may_not_be_used_says_which(answer: BindAnswer, message: str) -> None:
    with pytest.raises(AccountDisabled, match=message):
        admitted(answer)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (1, "bind_dn"),
        (8, "start_tls"),
        (10, "referrals are not followed"),
        (13, "start_tls"),
        (34, "malformed"),
        (50, "may read"),
        (53, "does not allow this"),
        (80, "result 80"),
        (4711, "result 4711"),
    ],
)
def test_bind_that_fails_otherwise_tells_the_operator(code: int, advice: str) -> None:
    with pytest.raises(Refused, match=advice):
        admitted(BindAnswer(code))


def test_diagnostics_of_any_length_are_cut() -> None:
    with pytest.raises(Refused) as raised:
        admitted(BindAnswer(80, "no\nnews " * 1000))

    assert len(raised.value.message) < 400
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("control", "error"),
    [
        (b"", None),
        (b"\x30\x00", None),
        (b"\x30\x03\x81\x01\x01", 1),
        (b"\x30\x05\xa0\x03\x80\x01\x09", None),
        (b"\x30\x08\xa0\x03\x80\x01\x09\x81\x01\x02", 2),
        (b"\x30\x03\x81\x01", None),
        (b"\xff" * 50, None),
    ],
)
def test_policy_control_of_any_form_is_read(control: bytes, error: int | None) -> None:
    assert policy_error(control) == error
