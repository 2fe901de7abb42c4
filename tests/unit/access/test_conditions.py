import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access import conditions
from entrepot.access.conditions import CONDITION_CHARACTERS_MAX, EVALUATED_MAX, NESTING_MAX, Context
from entrepot.access.errors import ConditionInvalid
from entrepot.principal import Caller, Credential, Origin, Principal
from tests.budgets import budget

NOON_MS = 1_750_248_000_000
"""Wednesday, 18 June 2025, 12:00 UTC."""
ALICE = Principal("ldap", "alice", credential=Credential("token", "t0"))
CONTEXT = Context(Caller(ALICE, Origin("10.1.2.3", "docker/28.0 (linux)", "r1")), NOON_MS)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('request.address == "10.1.2.3"', True),
        ('in_network(request.address, "10.0.0.0/8")', True),
        ('in_network(request.address, "192.168.0.0/16")', False),
        ('in_network(request.address, "fd00::/8")', False),
        ('request.user_agent.startsWith("docker/")', True),
        ('request.user_agent.contains("podman")', False),
        ("request.time.getHours() == 12", True),
        ("request.time.getHours() >= 8 && request.time.getHours() < 12", False),
        ("request.time.getDayOfWeek() == 3", True),
        ('request.time < timestamp("2025-06-19T00:00:00Z")', True),
        ('user.name == "alice" && user.provider == "ldap"', True),
        ('user.name in ["bob", "carol"]', False),
        ('credential.kind == "token"', True),
        ('credential.id == "t0"', True),
        ("true", True),
        ("!true", False),
    ],
)
def test_condition_holds_as_it_says(condition: str, expected: bool) -> None:
    conditions.check(condition)

    assert conditions.holds(condition, CONTEXT) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "",
        " ",
        "true &&",
        "1",
        '"true"',
        "[true]",
        "null",
        "request.time",
        "nobody.name == 'x'",
        "request.password == 'x'",
        "open('/etc/passwd')",
        "__import__('os')",
        "request.__class__ == 1",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "[1][5] == 1",
        "int(1e300) > 0",
        "in_network()",
        "in_network(request.address)",
        'in_network(request.address, "10.0.0.0/99")',
        '"\\ud800" == "a"',
        '"\\Uffffffff" == "a"',
        "\x00",
        "true \x00",
    ],
)
def test_what_answers_no_yes_or_no_is_refused_and_never_holds(condition: str) -> None:
    with pytest.raises(ConditionInvalid):
        conditions.check(condition)
    assert not conditions.holds(condition, CONTEXT)


@pytest.mark.parametrize(
    "condition",
    [
        "[1,2,3,4,5,6,7,8,9,10].all(a," * 7 + "true" + ")" * 7,
        "[1,2,3,4,5,6,7,8,9,10].exists(a," * 7 + "false" + ")" * 7,
        "[1].map(a,[1].map(b,[1].map(c,1))) == []",
        "[1,2].filter(x, [1,2].filter(y, true) == [1,2]) == [1,2]",
        "[1,2].exists_one(x, [1,2].exists_one(y, true))",
        "[1,2].all//comment\n(x, [1,2].all(y, true))",
        "[1].all(x, request.user_agent.matches('a'))",
        r'request.user_agent.matches("\\w{1000}")',
        'request.user_agent.matches("(((a{30}){30}){30}){30}")',
        "request.user_agent.matches(request.user_agent)",
        " || ".join(["request.user_agent.matches('a')"] * 4),
        "request.user_agent.matches('" + "(.*|.+)*" * 13 + "')",
        "[" + "1," * 101 + "1].all(x, x == 1)",
        "request.user_agent.matches('(?i)" + "[a-\U0010ffff[a-\U0010ffff]]" * 6 + "')",
        "request.user_agent.matches('(?i)docker')",
        "request.user_agent.matches('(?P<a>a)')",
        "request.user_agent.matches('[a-z[0-9]]')",
        "request.user_agent.matches('[]a[b]]')",
        "request.user_agent.matches('[a-z&&b]')",
        "request.user_agent.matches('[a-z--b]')",
        "request.user_agent.matches('[a-z~~b]')",
        "request.user_agent.matches('[!-￿]')",
        " || ".join([f"request.user_agent.matches('.*a{'.' * 40}')"] * 3),
    ],
)
def test_condition_that_could_keep_a_processor_busy_is_refused(condition: str) -> None:
    with pytest.raises(ConditionInvalid):
        conditions.check(condition)
    # Nor is one evaluated that was made when it was allowed.
    assert not conditions.holds(f"!({condition})", CONTEXT)
    assert not conditions.holds(condition, CONTEXT)


def test_condition_sees_the_beginning_of_a_long_user_agent() -> None:
    origin = CONTEXT.caller.origin._replace(user_agent="docker/" + "a" * 100_000)
    context = replace(CONTEXT, caller=Caller(ALICE, origin), known={})
    assert conditions.holds("request.user_agent.matches('^docker/a+$')", context)
    assert conditions.holds(f"size(request.user_agent) == {conditions.USER_AGENT_CHARACTERS_MAX}", context)


@pytest.mark.parametrize(
    "condition",
    [
        "true" + " " * CONDITION_CHARACTERS_MAX,
        "(" * (NESTING_MAX + 1) + "true" + ")" * (NESTING_MAX + 1),
        "[" * 490 + "]" * 490 + " == []",
    ],
    ids=["long", "nested", "deep"],
)
def test_condition_over_a_limit_is_refused(condition: str) -> None:
    with pytest.raises(ConditionInvalid, match="has at most"):
        conditions.check(condition)


def test_conditions_beyond_what_a_request_may_cost_do_not_hold_and_are_not_evaluated() -> None:
    context = replace(CONTEXT, known={})
    first = [f"{number} < {EVALUATED_MAX}" for number in range(EVALUATED_MAX)]
    assert all(conditions.holds(condition, context) for condition in first)

    assert not conditions.holds("true", context)
    assert conditions.holds(first[0], context)
    assert set(context.known) == set(first)
    assert conditions.holds("true", replace(CONTEXT, known={}))


def test_nothing_is_evaluated_once_all_is_decided() -> None:
    decided = replace(CONTEXT, decided=True, known={"1 == 1": True})

    assert conditions.holds("1 == 1", decided)
    assert not conditions.holds("2 == 2", decided)


DEEP = {
    "not": "!" * 990 + "true",
    "minus": "1" + "-" * 980 + "1 == 2",
    "and": "&&".join(["true"] * 160),
    "or": "||".join(["false"] * 130 + ["true"]),
    "plus": "+".join(["1"] * 480) + " > 0",
    "equal": "true" + "==true" * 160,
    "choice": "true?true:" * 30 + "true",
    "in": "1 in [1]" + " in [true]" * 90,
    "brackets": "(" * NESTING_MAX + "true" + ")" * NESTING_MAX,
    "members": "request" + ".a" * 480,
    "elements": "request" + "[0]" * 300,
    "text": '"' + "a" * 900 + '" == ""',
    "slow expression": '"' + "a" * 400 + 'b".matches("^(a+)+$")',
    "minimum": "-(-9223372036854775807 - 1) == 1",
    "division": "(-9223372036854775807 - 1) / -1 == 1",
    "remainder": "(-9223372036854775807 - 1) % -1 == 0",
    "time": 'request.time + duration("9000000000000s") > request.time',
    "duration": 'duration("9223372036854775807ms") + duration("9223372036854775807ms") > duration("1s")',
    "arguments": '"a".startsWith()',
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_condition_is_answered_or_refused_also_where_there_is_little_stack(name: str) -> None:
    """Databases' threads check conditions, and the event loop evaluates what they made ready."""
    condition, answers = DEEP[name], []

    def check() -> None:
        try:
            conditions.check(condition)
            answers.append(conditions.holds(condition, CONTEXT))
        except ConditionInvalid:
            answers.append(False)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)

    assert answers == [conditions.holds(condition, CONTEXT)]


TOKENS = (
    "( ) [ ] { } . , ? : ! - + * / % < > == && || in true 1 1.5 1u 'a' \" b'x' null size request user .name .time "
    ".address in_network timestamp duration int string has .map(x, .all(x, .matches( .size() x 9223372036854775807 "
    "'10.0.0.0/8' // \\ \\xff \n é"
)
WORDS = st.sampled_from([*TOKENS.split(" "), " "])


@given(st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=60))
@budget(400)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        conditions.check(text)
    except ConditionInvalid:
        pass
    assert conditions.holds(text, CONTEXT) in {True, False}


@pytest.mark.parametrize("address", ["", "unknown", "10.1.2.3, 10.1.2.4", "10.1.2"])
def test_request_without_an_address_is_in_no_network(address: str) -> None:
    context = Context(Caller(ALICE, Origin(address, "", "")), NOON_MS)

    assert not conditions.holds('in_network(request.address, "0.0.0.0/0")', context)
    assert conditions.holds('!in_network(request.address, "0.0.0.0/0")', context)
