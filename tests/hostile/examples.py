"""How many examples the property tests try, and which."""

import os

from hypothesis import HealthCheck, settings

FUZZ = "ENTREPOT_TEST_FUZZ"
"""A factor: that many times the examples, and others in every run. Without it every run tries the same ones."""


def budget(examples: int, *, steps: int = 50) -> settings:
    """Settings for a property that is tried with so many examples."""
    factor = int(os.environ.get(FUZZ, "0"))
    return settings(
        max_examples=examples * max(1, factor),
        stateful_step_count=steps,
        derandomize=factor == 0,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
