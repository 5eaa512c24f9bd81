"""Separation in a process of its own: `python -m workstation.separate.worker`, see `child`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from workstation.model import EngineError, JobContext
from workstation.separate.child import Trade, decode_path, encode_path, give_order, take_order
from workstation.separate.engines import engine
from workstation.separate.protocol import EngineOptions
from workstation.separate.stream import separate_file

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# What glibc is asked for: to give the memory of every layer back at once, which halves the peak of
# networks, in huge pages, without which that would cost a third of the speed.
_ALLOCATOR = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=4194304"


def _environment() -> dict[str, str]:
    """How memory is allocated in the child, where the system has huge pages to give."""
    try:
        has_huge_pages = "[never]" not in _HUGE_PAGES.read_text()
    except OSError:
        has_huge_pages = False
    if has_huge_pages and "GLIBC_TUNABLES" not in os.environ:
        return {"GLIBC_TUNABLES": _ALLOCATOR}
    return {}


_TRADE = Trade(
    module="workstation.separate.worker",
    name="separation",
    killed="Close other programs, or choose a lighter engine such as --engine dsp.",
    environment=_environment(),
)


class Order(msgspec.Struct, frozen=True):
    """What the worker is to do."""

    source: Path
    engine: str
    options: EngineOptions
    folder: Path
    key: str


def log_file() -> Path:
    """Where the worker's libraries, and its own last words, go."""
    return _TRADE.log


def separate_in_worker(order: Order, job: JobContext) -> dict[str, Path]:
    """Carry out an order in a child process and wait for it.

    Returns:
        Path of every stem.

    Raises:
        WorkstationError: Whatever went wrong in the worker.
        EngineError: The worker died.
        CancelledError: The job was cancelled; the worker is gone within a second.
    """
    made = give_order(_TRADE, order, job)
    return {name: Path(str(decode_path(str, path))) for name, path in made.items()}


def _separate(order: bytes, job: JobContext) -> dict[str, str]:
    wanted = _decode(order)
    maker = engine(wanted.engine, wanted.options)
    paths = separate_file(wanted.source, maker, wanted.folder, key=wanted.key, job=job)
    return {name: encode_path(path) for name, path in paths.items()}


def _defect(order: bytes, words: str) -> EngineError:
    return EngineError(
        f"The engine {_decode(order).engine} failed: {words}.",
        f"Choose another engine; the details are in {log_file()}.",
    )


def _decode(order: bytes) -> Order:
    return msgspec.json.decode(order, type=Order, dec_hook=decode_path)


if __name__ == "__main__":
    take_order(_separate, _defect)
