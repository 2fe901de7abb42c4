"""How often races and properties are tried: a third of the full count for each change, more by `make test-long`."""

import os

from hypothesis import HealthCheck, settings

LONG = "ENTREPOT_TEST_LONG"
"""A factor: that many times the full count, and other examples in every run. Without it every run tries the same ones.
"""
SHARE = 3


def rounds(full: int) -> int:
    """How many times something is repeated whose full count is given."""
    factor = int(os.environ.get(LONG, "0"))
    return full * factor if factor else max(1, full // SHARE)


def budget(examples: int, *, steps: int = 50) -> settings:
    """Settings for a property whose full count of examples is given."""
    return settings(
        max_examples=rounds(examples),
        stateful_step_count=steps,
        derandomize=LONG not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
