"""How many failures of one origin are written down one by one."""

from entrepot.audit.brake import ORIGINS_MAX, PER_SECOND, Brake

AT_ONCE = 50


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_first_ones_pass_and_then_a_few_as_time_goes_on() -> None:
    clock = Clock()
    brake = Brake(AT_ONCE, clock)

    assert [brake.take("a") for _ in range(AT_ONCE)] == [0] * AT_ONCE
    assert brake.take("a") == round(1 / PER_SECOND)
    assert brake.take("b") == 0
    clock.now += 1 / PER_SECOND
    assert (brake.take("a"), brake.take("a") > 0) == (0, True)
    clock.now += 1_000_000
    assert sum(brake.take("a") == 0 for _ in range(2 * AT_ONCE)) == AT_ONCE


def test_wait_that_is_told_is_enough_and_a_rate_is_kept() -> None:
    clock = Clock()
    for per_second in (0.3, 1, 7, 1000):
        brake = Brake(AT_ONCE, clock, per_second)
        passed = 0
        for _ in range(50):
            while not (wait := brake.take("a")):
                passed += 1
            clock.now += wait
            assert brake.take("a") == 0
            passed += 1
        assert passed <= AT_ONCE + (clock.now - 100) * per_second
        clock.now = 100.0


def test_memory_has_an_end() -> None:
    brake = Brake(AT_ONCE, Clock())
    for number in range(2 * ORIGINS_MAX):
        brake.take(str(number))

    assert len(brake._left) == ORIGINS_MAX
