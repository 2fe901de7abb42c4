"""Conditions of grants, in CEL (the Common Expression Language), about the request and who makes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from entrepot.access.errors import ConditionInvalid
from entrepot.principal import Caller, Origin, Principal

CONDITION_CHARACTERS_MAX = 1000
NESTING_MAX = 20
"""Nested brackets. They are limited because the parser is recursive."""
MATCHES_MAX = 3
ELEMENTS_MAX = 100
"""The most elements of a list that `all` or `exists` goes through."""
EVALUATED_MAX = 100
"""Conditions evaluated for one request; more do not hold. Most take 0.05 ms, the slowest that may be made 1.6 ms."""
_BUILDS = re.compile(r"\b(?:map|filter|reduce|transform\w+)\b", re.ASCII)
"""What makes lists of lists."""
_LOOP = re.compile(r"\b(?:all|exists|exists_one|existsOne|map|filter|reduce|bind|opt\w+|transform\w+)\b", re.ASCII)
"""What goes through lists. Within one another, a few characters of them keep a processor busy for ever."""
_MATCHES = re.compile(r"\bmatches\b", re.ASCII)
_MATCHES_SIMPLY = re.compile(r"""\bmatches\(\s*(?:'([ -~]*?)'|"([ -~]*?)")\s*\)""", re.ASCII)
EXPRESSIONS_CHARACTERS_MAX = 100
"""The most characters in all regular expressions of a condition together."""
_COSTLY = re.compile(r"""['"\\{]|\(\?|\[\^?\]?[^]]*[\[&~]|--""", re.ASCII)
"""In an expression, which is made ready for each request anew: a repetition `{n}`, a class like `\\w`, one in another
one, and letters of either case (`(?i)`) take up to a second."""
USER_AGENT_CHARACTERS_MAX = 512
"""What a condition sees of it: clients may send a hundred times as much."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a condition is about. `now_ms` is in milliseconds since the epoch.

    `known` is what was evaluated before. `decided`: nothing more is evaluated, and what is not known does not hold;
    nothing that somebody else wrote is evaluated where others wait, in a transaction that writes.
    """

    caller: Caller
    now_ms: int
    decided: bool = False
    known: dict[str, bool] = field(default_factory=dict)

    def variables(self) -> dict[str, Any]:
        return {
            "request": {
                "address": self.caller.origin.address,
                "user_agent": self.caller.origin.user_agent[:USER_AGENT_CHARACTERS_MAX],
                "time": datetime.fromtimestamp(self.now_ms / 1000, UTC),
            },
            "user": {"name": self.caller.principal.name, "provider": self.caller.principal.provider},
            "credential": {"kind": self.caller.principal.credential.kind, "id": self.caller.principal.credential.id},
        }


_SAMPLE = Context(Caller(Principal("local", "somebody"), Origin("127.0.0.1", "docker/28.0", "0")), 1_750_000_000_000)
VARIABLES = (
    "request.address, request.user_agent, request.time, user.name, user.provider, credential.kind, credential.id"
)


def check(condition: str) -> None:
    """Raises ConditionInvalid for what cannot be evaluated, or does not answer yes or no."""
    if len(condition) > CONDITION_CHARACTERS_MAX or _nesting(condition) > NESTING_MAX:
        raise ConditionInvalid(
            f"a condition has at most {CONDITION_CHARACTERS_MAX} characters and {NESTING_MAX} nested brackets"
        )
    _check_cost(condition)
    try:
        answer = _evaluate(condition, _SAMPLE.variables())
    except Exception as error:
        raise ConditionInvalid(
            f"the condition cannot be evaluated: {str(error)[:300]}; it is CEL over {VARIABLES} and "
            "in_network(address, network)"
        ) from None
    if not isinstance(answer, bool):
        raise ConditionInvalid("the result of a condition must be true or false")


def _check_cost(condition: str) -> None:
    """Whoever may grant must not be able to keep the registry busy, at the requests of others."""
    if _BUILDS.search(condition):
        raise ConditionInvalid(
            "a condition may use all and exists on a list, but not map and filter, which create new lists"
        )
    loops, matches = len(_LOOP.findall(condition)), len(_MATCHES.findall(condition))
    if loops > 1 or (loops and matches) or matches > MATCHES_MAX:
        raise ConditionInvalid(f"a condition may use all or exists once, or matches up to {MATCHES_MAX} times")
    if loops and condition.count(",") > ELEMENTS_MAX:
        raise ConditionInvalid(f"a condition may use all or exists on a list of at most {ELEMENTS_MAX} elements")
    expressions = [one or other for one, other in _MATCHES_SIMPLY.findall(condition)]
    if (
        matches > len(expressions)
        or sum(map(len, expressions)) > EXPRESSIONS_CHARACTERS_MAX
        or any(map(_COSTLY.search, expressions))
    ):
        raise ConditionInvalid(
            f"the patterns of matches must be ASCII, at most {EXPRESSIONS_CHARACTERS_MAX} characters in a condition, "
            "without backslashes, braces, (? and classes in classes: write [.] and [0-9]"
        )


def holds(condition: str, context: Context) -> bool:
    """False, too, for a condition that cannot be evaluated, and for one too many."""
    found = context.known.get(condition)
    if found is not None:
        return found
    if context.decided or len(context.known) >= EVALUATED_MAX:
        return False
    try:
        found = _evaluate(condition, context.variables()) is True
    except Exception:
        found = False
    context.known[condition] = found
    return found


def _evaluate(condition: str, variables: Mapping[str, Any]) -> object:
    # Imported here because it takes 0.1 s, and most registries have no conditions.
    import cel

    context = cel.Context(variables=dict(variables))
    context.add_function("in_network", _in_network)
    try:
        return _program(condition).execute(context)
    except BaseException as error:
        # What the library did not foresee must not become a request's end: it is no Exception.
        if type(error).__name__ == "PanicException":
            raise ConditionInvalid("the condition cannot be evaluated") from None
        raise


@lru_cache(maxsize=1000)
def _program(condition: str) -> Any:
    import cel

    # As when it was made: what may be made can become less.
    _check_cost(condition)
    return cel.compile(condition)


def _in_network(address: str, network: str) -> bool:
    known = _network(network)
    try:
        return ip_address(address) in known
    except ValueError:
        return False


_network = lru_cache(maxsize=1000)(ip_network)
"""A condition may ask for one a hundred times: 4 µs each instead of 9."""


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest
