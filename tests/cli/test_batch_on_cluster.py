"""`workstation batch --cluster`: workers of a real Dask cluster, one of which dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import workstation
from tests.cli.conftest import make_song
from tests.cli.test_batch import processes_in, states, wait_until
from tests.cli.test_commands import check_error

pytest.importorskip("distributed", reason="Dask (the extra `cluster`) is not installed")
SONGS = [f"song {n}.wav" for n in range(5)]


class LocalCluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.processes = [self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))]

    def _start(self, *arguments):
        log = (self.folder / f"{len(list(self.folder.iterdir()))}.log").open("wb")
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
            cwd=self.folder, stdout=log, stderr=log,
        )  # fmt: skip

    def add_worker(self):
        worker = self._start("worker", self.address, "--nthreads", "1", "--no-nanny")
        self.processes.append(worker)
        return worker

    def wait_for_workers(self, count):
        from distributed import Client

        with Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster") / "dask")
    for _ in range(2):
        cluster.add_worker()
    try:
        cluster.wait_for_workers(2)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def songs(tmp_path):
    (tmp_path / "songs").mkdir()
    for number, name in enumerate(SONGS):
        make_song(tmp_path / "songs" / name, seconds=4 + number)
    return tmp_path


def start(folder, cluster, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "workstation", "batch", "songs", "--engine", "dsp",
         "--cluster", cluster.address, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def made(out):
    return sum(state == "done" for state, _ in states(out).values())


def workers_children(worker):
    """Processes of a worker that work on a song."""
    found = subprocess.run(
        ["pgrep", "-P", str(worker.pid), "-f", "batch_worker"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return [int(pid) for pid in found.stdout.split()]


def test_a_worker_that_is_killed_loses_no_song_and_none_is_done_twice(songs, cluster):
    out = songs / "songs-batch"
    victim = cluster.processes[-1]
    running = start(songs, cluster)
    wait_until(lambda: workers_children(victim))
    time.sleep(0.5)  # In the midst of a song.
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    _, words = running.communicate(timeout=120)
    cluster.processes.remove(victim)
    cluster.add_worker()
    assert running.returncode == 0, words
    assert "5 of 5 songs are done, 0 of them before" in words
    assert states(out) == {f"songs/{name}": ("done", 1) for name in SONGS}
    for name in SONGS:
        session = workstation.open(out / name.replace(".wav", ".remix"))
        assert set(session.stems) == {"drums", "bass", "other", "vocals"}
        assert session.analysis is not None
        # Work that was cut off has left nothing behind.
        assert not [path for path in session.path.rglob("*") if ".part" in path.name]
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    again = start(songs, cluster)
    _, words = again.communicate(timeout=60)
    assert "5 of 5 songs are done, 5 of them before" in words
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}


def test_a_song_that_cannot_be_read_fails_alone(songs, cluster):
    (songs / "songs" / SONGS[0]).write_bytes(b"no audio at all")
    running = start(songs, cluster)
    _, words = running.communicate(timeout=120)
    assert running.returncode == 3
    assert re.search(r"Failed +song 0\.wav: .*song 0\.wav", words)
    assert "4 of 5 songs are done" in words


def test_stopping_the_batch_stops_the_workers(songs, cluster):
    out = songs / "songs-batch"
    running = start(songs, cluster)
    worker = cluster.processes[1]
    wait_until(lambda: workers_children(worker))
    asked = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=20)
    assert running.returncode == 130, words
    assert time.monotonic() - asked < 2.5  # One second, and what Dask needs to say goodbye.
    assert "Traceback" not in words
    wait_until(lambda: not workers_children(worker), seconds=5)
    assert made(out) < len(SONGS)
    assert not processes_in(songs)


def test_a_cluster_that_is_not_there_is_told_at_once(songs, program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        answer = program("batch", "songs", "--engine", "dsp", "--cluster", address, cwd=songs)
    check_error(answer, 4, address, "dask scheduler")
    assert not os.path.lexists(songs / "songs-batch")
    answer = program("batch", "songs", "--engine", "dsp", "--cluster", "studio", cwd=songs)
    check_error(answer, 2, "studio", "tcp://HOST:PORT")
