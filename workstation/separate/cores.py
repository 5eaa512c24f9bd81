"""How many workers a network gets: one thread each, as many as cores, up to what memory allows."""

from __future__ import annotations

import os
from pathlib import Path

_LEAST_BUDGET = 2 << 30
_BASE = 600 << 20


def worker_layout(bytes_each: int) -> tuple[int, int]:
    """Number of workers, and threads of each, for work that takes so much memory per worker.

    Workers of one thread never wait for each other; threads of one worker do at every layer,
    and lose much more than their share where another program keeps a core busy. All workers
    together stay within 2 GiB, or an eighth of the machine's memory where that is more.
    """
    cores = physical_cores()
    budget = max(_LEAST_BUDGET, _memory() // 8) - _BASE
    workers = max(1, min(cores, budget // max(bytes_each, 1)))
    return workers, max(1, cores // workers)


def physical_cores() -> int:
    """Cores that this process may use; hyper-threads of one core count once.

    `OMP_NUM_THREADS`, where it is set, is an upper limit: that is how a user asks for fewer.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cores = {_siblings(cpu) for cpu in usable}
    count = len(cores) or os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, max(1, int(limit))) if limit.isdecimal() else count


def _siblings(cpu: int) -> str:
    """Which logical processors are one core with this one."""
    try:
        place = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        return Path(place).read_text()
    except OSError:
        return str(cpu)


def _memory() -> int:
    """Bytes of memory of the machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
