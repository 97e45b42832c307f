"""Monitor of the processor time and memory of processes."""

import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

import psutil


class Sample(NamedTuple):
    """A process with its children: processor seconds since the start, private bytes now."""

    at_s: float
    cpu_s: float
    uss: int


class ProcessMonitor(threading.Thread):
    """Samples processes at intervals, from ``from_s`` seconds from now on. ``samples`` by process name, in order."""

    def __init__(self, pids: Mapping[str, int], from_s: float, seconds: float, every_s: float) -> None:
        super().__init__(name="process monitor", daemon=True)
        self.samples: dict[str, list[Sample]] = {name: [] for name in pids}
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._begin_s = time.monotonic() + from_s
        self._end_s, self._every_s = self._begin_s + seconds, every_s

    def run(self) -> None:
        next_s = self._begin_s
        while next_s <= self._end_s:
            time.sleep(max(next_s - time.monotonic(), 0))
            next_s += self._every_s
            for name, root in self._roots.items():
                self.samples[name].append(sample(root))

    def cores(self, name: str) -> float:
        """Cores that the process used on average."""
        first, last = self.samples[name][0], self.samples[name][-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)


def sample(root: psutil.Process) -> Sample:
    cpu_s, uss = 0.0, 0
    for process in [root, *root.children(recursive=True)]:
        try:
            spent, memory = process.cpu_times(), process.memory_full_info()
        except psutil.NoSuchProcess:
            continue  # it has ended
        cpu_s += spent.user + spent.system
        uss += memory.uss
    return Sample(time.monotonic(), cpu_s, uss)
