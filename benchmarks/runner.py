"""Runs a work with several registries, round by round, in turn."""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import processes
from benchmarks.load import Sample
from benchmarks.registries import Registry, Server
from benchmarks.works.work import Measure, Scale, Work

DISTURBED_SHARE = 0.15
REPEATS_MAX = 1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one registry reached in one measure, round by round."""

    values: list[float]
    server_cpu_seconds: list[float]

    @classmethod
    def of(cls, samples: list[Sample]) -> "Figures":
        cpu_seconds = [each.server_cpu_seconds for each in samples if each.server_cpu_seconds is not None]
        return cls([each.value for each in samples], cpu_seconds)

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(slots=True)
class Result:
    """What a work measured, by measure and registry."""

    work: type[Work]
    rounds: int
    duration_seconds: float = 0.0
    disturbed_rounds: int = 0
    """Rounds that other processes disturbed each time they were repeated."""
    figures: dict[str, dict[str, Figures]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def ratio(self, measure: Measure) -> float | None:
        """Return Entrepot's median over the best peer's; None where one of them is missing."""
        medians = {name: figures.median for name, figures in self.figures[measure.key].items()}
        entrepot = medians.pop("entrepot", None)
        if entrepot is None or not medians:
            return None
        return entrepot / (min if measure.less_is_better else max)(medians.values())

    def meets_target(self, measure: Measure) -> bool | None:
        """Say whether Entrepot reached its target; None where that is not known."""
        if measure.target_ratio is not None:
            ratio = self.ratio(measure)
            return None if ratio is None else ratio >= measure.target_ratio
        entrepot = self.figures[measure.key].get("entrepot")
        if measure.target_value is None or entrepot is None:
            return None
        return entrepot.median <= measure.target_value


def run(
    work_type: type[Work], registries: list[Registry], scale: Scale, directory: Path, keep: bool, say: Say
) -> Result:
    """Run one work; every registry has a server and a directory of its own, gone afterwards."""
    chosen = [each for each in registries if work_type.peers_too or not each.is_peer]
    result = Result(work_type, work_type.rounds(scale))
    began = time.monotonic()
    works: list[Work] = []
    try:
        for registry in chosen:
            server = Server.start(registry, directory / work_type.name / registry.name)
            works.append(work_type(server, scale))
        for work in works:
            say(f"{work.name}: preparing {work.server.registry.name}")
            work.prepare()
        samples = _rounds(works, result, say)
    finally:
        for work in works:
            work.server.stop()
        if not keep:
            shutil.rmtree(directory / work_type.name, ignore_errors=True)
    for measure in work_type.measures:
        result.figures[measure.key] = {name: Figures.of(found) for name, found in samples[measure.key].items()}
    result.notes = {work.server.registry.name: work.notes for work in works if work.notes}
    result.duration_seconds = time.monotonic() - began
    return result


def _rounds(works: list[Work], result: Result, say: Say) -> dict[str, dict[str, list[Sample]]]:
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1, result.rounds + 1):
        for work in works:
            for key, sample in _round(work, number, result, say).items():
                samples[key][work.server.registry.name].append(sample)
    return samples


def _round(work: Work, number: int, result: Result, say: Say) -> dict[str, Sample]:
    """Measure once; a round that other processes disturbed is thrown away and repeated once."""
    attempt = 0
    while True:
        watch = _Watch(work.server)
        measured = work.round(number + attempt * result.rounds)
        foreign_share = watch.foreign_share(work.server)
        values = ", ".join(f"{key} {sample.value:,.2f}" for key, sample in measured.items())
        disturbed = f" (other processes: {foreign_share:.0%} of the processor time)"
        is_disturbed = foreign_share > DISTURBED_SHARE
        text = f"{work.name}: round {number}/{result.rounds} {work.server.registry.name}: {values}"
        say(text + disturbed if is_disturbed else text)
        if not is_disturbed or attempt == REPEATS_MAX:
            result.disturbed_rounds += is_disturbed
            return measured
        attempt += 1


class _Watch:
    """Watches how much of the machine is busy with neither the load nor the server."""

    def __init__(self, server: Server) -> None:
        self._began = time.monotonic()
        self._busy_seconds = processes.machine_cpu_seconds()
        self._ours_seconds = processes.own_cpu_seconds() + server.cpu_seconds()

    def foreign_share(self, server: Server) -> float:
        """Return the share so far; a server that was replaced has ended, and counts among the ended children."""
        available_seconds = (time.monotonic() - self._began) * len(os.sched_getaffinity(0))
        busy_seconds = processes.machine_cpu_seconds() - self._busy_seconds
        ours_seconds = processes.own_cpu_seconds() + server.cpu_seconds() - self._ours_seconds
        return (busy_seconds - ours_seconds) / available_seconds
