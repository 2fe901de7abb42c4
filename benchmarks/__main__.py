"""Run with `make bench`, or `python -m benchmarks --help`."""

import datetime
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import machine, report, runner
from benchmarks.registries import Registry, all_registries
from benchmarks.works import ALL_WORKS
from benchmarks.works.work import FULL, QUICK, Work

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
WORK_NAMES = ", ".join(work.name for work in ALL_WORKS)
REGISTRY_NAMES = ", ".join(registry.name for registry in all_registries())
COLUMNS_IN_A_FILE = 150

console = Console(stderr=True, highlight=False)


def bench(
    works: Annotated[list[str] | None, typer.Option(help=f"only this work: {WORK_NAMES}")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"only this registry: {REGISTRY_NAMES}")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer rounds, shorter ones, fewer tags")] = False,
    workdir: Annotated[Path, typer.Option(help="where the servers' data goes")] = ROOT / "build" / "bench",
    keep: Annotated[bool, typer.Option("--keep", help="leave the servers' data and logs")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write every figure to this file")] = None,
    document: Annotated[
        Path | None, typer.Option("--markdown", help="write the document here; a whole run writes docs/benchmarks.md")
    ] = None,
) -> None:
    """Compare Entrepot with the registries found on this machine. --works and --only can be given several times."""
    if shutil.which("wrk") is None:
        raise typer.BadParameter("the load generator wrk is not installed (Debian: apt install wrk)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if document is None and not (works or only or quick):
        document = DOCUMENT
    run = _run(_chosen_works(works), *_registries(only), quick=quick, workdir=workdir, keep=keep)
    width = None if sys.stdout.isatty() else COLUMNS_IN_A_FILE
    Console(width=width).print(report.table(run))
    _say(f"{run.date}, {run.duration_seconds / 60:.1f} minutes")
    for registry in run.absent:
        _say(f"{registry.title} was not available in this run")
    if document is not None:
        _write(document, report.markdown(run))
    if json_file is not None:
        _write(json_file, json.dumps(report.as_json(run), indent=2) + "\n")


def _run(
    works: list[type[Work]],
    present: list[Registry],
    absent: list[Registry],
    *,
    quick: bool,
    workdir: Path,
    keep: bool,
) -> report.Run:
    began, now = time.monotonic(), datetime.datetime.now(datetime.UTC)
    scale = QUICK if quick else FULL
    versions = {registry.name: registry.version() for registry in present}
    _say(machine.describe())
    for registry in present:
        _say(f"{registry.title}: {versions[registry.name]}")
    with _directory(workdir.resolve() / f"{now:%Y%m%dT%H%M%S}", keep) as directory:
        results = [runner.run(work, present, scale, directory, keep, _say) for work in works]
    return report.Run(
        date=f"{now:%Y-%m-%d %H:%M} UTC",
        duration_seconds=time.monotonic() - began,
        machine=machine.describe(),
        quick=quick,
        registries=present,
        versions=versions,
        absent=absent,
        results=[result for result in results if any(result.figures.values())],
    )


@contextmanager
def _directory(path: Path, keep: bool) -> Iterator[Path]:
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    _say(f"wrote {file}")


def _chosen_works(names: list[str] | None) -> list[type[Work]]:
    known = {work.name: work for work in ALL_WORKS}
    if unknown := set(names or ()) - set(known):
        raise typer.BadParameter(f"no such work: {', '.join(unknown)}; there are {WORK_NAMES}")
    return [work for work in ALL_WORKS if not names or work.name in names]


def _registries(names: list[str] | None) -> tuple[list[Registry], list[Registry]]:
    """Return the registries to run, and those wanted that are not installed."""
    known = all_registries()
    if unknown := set(names or ()) - {registry.name for registry in known}:
        raise typer.BadParameter(f"no such registry: {', '.join(unknown)}; there are {REGISTRY_NAMES}")
    wanted = [registry for registry in known if not names or registry.name in names]
    present = [registry for registry in wanted if registry.program()]
    return present, [registry for registry in wanted if registry not in present]


if __name__ == "__main__":
    typer.run(bench)
