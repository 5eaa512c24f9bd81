"""As many workers as cores, of one thread each, up to what memory allows."""

import pytest

from workstation.separate import cores
from workstation.separate.cores import physical_cores, worker_layout

GIB = 1 << 30


@pytest.mark.parametrize(
    ("count", "memory_gib", "each_gib", "layout"),
    [
        (2, 8, 0.4, (2, 1)),
        (8, 8, 0.4, (3, 2)),
        (8, 64, 0.4, (8, 1)),
        (1, 64, 0.4, (1, 1)),
        (4, 8, 3, (1, 4)),
        (2, 0, 0.1, (2, 1)),
    ],
)
def test_workers_of_one_thread_up_to_what_memory_allows(
    monkeypatch, count, memory_gib, each_gib, layout
):
    monkeypatch.setattr(cores, "physical_cores", lambda: count)
    monkeypatch.setattr(cores, "_memory", lambda: memory_gib * GIB)
    assert worker_layout(round(each_gib * GIB)) == layout


def test_hyper_threads_of_a_core_count_once(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    monkeypatch.setattr(cores, "_siblings", lambda cpu: f"{cpu % 4},{cpu % 4 + 4}")
    assert physical_cores() == 3


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("64", 4), ("", 4), ("0", 1), ("x", 4)])
def test_a_user_can_ask_for_fewer(monkeypatch, limit, count):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cores, "_siblings", str)
    assert physical_cores() == count


def test_this_machine_has_a_core():
    assert physical_cores() >= 1
