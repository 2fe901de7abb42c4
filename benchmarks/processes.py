"""What /proc knows about a server and its workers."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """What one process holds, and the most it ever held."""

    pid: int
    name: str
    resident_bytes: int
    peak_bytes: int


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in task.read_text().split())
            except OSError:
                continue
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its descendants used so far."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """Return the processor time anything on the machine used so far, what the host took away included."""
    user, nice, system, _, _, irq, softirq, steal = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / TICKS_PER_SECOND


def own_cpu_seconds() -> float:
    """Return the processor time this process and its ended children used so far."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def memory(pid: int) -> list[Memory]:
    """Return the memory of a process and its descendants, the largest peak first."""
    found = []
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        status = dict(line.split(":", 1) for line in lines)
        if "VmHWM" in status:
            found.append(Memory(each, status["Name"].strip(), _bytes(status["VmRSS"]), _bytes(status["VmHWM"])))
    return sorted(found, key=lambda each: -each.peak_bytes)


def _bytes(kib: str) -> int:
    return int(kib.split()[0]) * 1024
