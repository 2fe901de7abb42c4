"""Conditions of grants, in CEL (the Common Expression Language), about the request and who makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from entrepot.access.errors import ConditionInvalid
from entrepot.principal import Origin, Principal

CONDITION_CHARACTERS_MAX = 1000
NESTING_MAX = 20
"""Brackets within brackets: the parser works by recursion."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a condition is about. `now_ms` is in milliseconds since the epoch."""

    principal: Principal
    origin: Origin
    now_ms: int

    def variables(self) -> dict[str, Any]:
        return {
            "request": {
                "address": self.origin.address,
                "user_agent": self.origin.user_agent,
                "time": datetime.fromtimestamp(self.now_ms / 1000, UTC),
            },
            "user": {"name": self.principal.name, "provider": self.principal.provider},
            "credential": {"kind": self.principal.credential.kind, "id": self.principal.credential.id},
        }


_SAMPLE = Context(Principal("local", "somebody"), Origin("127.0.0.1", "docker/28.0", "0"), 1_750_000_000_000)
VARIABLES = (
    "request.address, request.user_agent, request.time, user.name, user.provider, credential.kind, credential.id"
)


def check(condition: str) -> None:
    """Raises ConditionInvalid for what cannot be evaluated, or does not answer yes or no."""
    if len(condition) > CONDITION_CHARACTERS_MAX or _nesting(condition) > NESTING_MAX:
        raise ConditionInvalid(
            f"a condition has {CONDITION_CHARACTERS_MAX} characters, and {NESTING_MAX} nested brackets, at the most"
        )
    try:
        answer = _evaluate(condition, _SAMPLE.variables())
    except Exception as error:
        raise ConditionInvalid(
            f"the condition cannot be evaluated: {str(error)[:300]}; it is CEL over {VARIABLES} and "
            "in_network(address, network)"
        ) from None
    if not isinstance(answer, bool):
        raise ConditionInvalid("the condition does not answer true or false")


def holds(condition: str, context: Context) -> bool:
    """False, too, for a condition that cannot be evaluated."""
    try:
        return _evaluate(condition, context.variables()) is True
    except Exception:
        return False


def _evaluate(condition: str, variables: Mapping[str, Any]) -> object:
    # Imported here because it takes 0.1 s, and most registries have no conditions.
    import cel

    context = cel.Context(variables=dict(variables))
    context.add_function("in_network", _in_network)
    return _program(condition).execute(context)


@lru_cache(maxsize=1000)
def _program(condition: str) -> Any:
    import cel

    return cel.compile(condition)


def _in_network(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest
