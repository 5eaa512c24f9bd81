"""The worker process: engines of other packages, cancel at once, deaths told in words."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from workstation.audio import read_audio, write_audio
from workstation.model import (
    CancelledError,
    EngineError,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
)
from workstation.separate import EngineOptions, engine, engine_cards, worker
from workstation.separate.worker import Order, log_file, separate_in_worker

PLUGIN = """
import os, signal, sys, time
import numpy as np
from workstation.model import InputError
from workstation.separate import EngineCard

class Engine:
    chunk_s, overlap_s = 1.0, 0.1
    def __init__(self, deed):
        self.deed = deed
        self.card = EngineCard(name=deed, summary="", stems=("all",), code_licence="MIT",
                               realtime_factor=0.0, source="")
    def separate(self, mix, rate_hz, job):
        print("noise on standard output")
        os.write(2, b"noise on standard error\\n")
        if self.deed == "sleeps":
            time.sleep(60)
        if self.deed == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed == "exits":
            os._exit(3)
        if self.deed == "raises":
            raise RuntimeError("no such\\nthing")
        if self.deed == "refuses":
            raise InputError("This song is too good.", "Choose a worse one.")
        return {"all": mix}

def sleeps(options): return Engine("sleeps")
def dies(options): return Engine("dies")
def exits(options): return Engine("exits")
def raises(options): return Engine("raises")
def refuses(options): return Engine("refuses")
def copies(options): return Engine("copies")
"""
DEEDS = ("sleeps", "dies", "exits", "raises", "refuses", "copies")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """An installed package that offers engines through the entry-point group."""
    site = tmp_path_factory.mktemp("site")
    (site / "deeds.py").write_text(textwrap.dedent(PLUGIN))
    info = site / "deeds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deeds\nVersion: 1.0\n")
    points = "\n".join(f"{deed} = deeds:{deed}" for deed in DEEDS)
    broken = "broken = deeds:nothing\ndsp = deeds:dies"
    (info / "entry_points.txt").write_text(f"[workstation.separators]\n{points}\n{broken}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        patch.setenv("WORKSTATION_CACHE_DIR", str(site / "cache"))
        yield site


@pytest.fixture
def order(plugin, tmp_path):
    """Makes an order for a song of three seconds."""
    mix = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 24000)).astype(np.float32)
    write_audio(tmp_path / "a.wav", mix, 8000, "float32")

    def make(name):
        return Order(
            source=tmp_path / "a.wav",
            engine=name,
            options=EngineOptions(),
            folder=tmp_path / "out",
            key="k",
        )

    return make


def test_an_engine_of_another_package_works_and_its_noise_goes_to_the_log(order, capfd, tmp_path):
    seen = []
    job = JobContext(lambda fraction, label: seen.append(fraction))
    paths = separate_in_worker(order("copies"), job)
    copy, song = read_audio(paths["all"])[0], read_audio(tmp_path / "a.wav")[0]
    assert np.abs(copy - song).max() <= 1e-6
    assert capfd.readouterr() == ("", "")
    assert "noise on standard output" in log_file().read_text()
    assert seen[-1] == 1.0


def test_a_plugin_is_listed_but_cannot_take_the_name_of_ours(plugin):
    assert engine("copies", EngineOptions()).card.stems == ("all",)
    assert engine("dsp", EngineOptions()).card.stems == ("drums", "bass", "other", "vocals")
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        engine("broken", EngineOptions())


def test_a_broken_plugin_does_not_hide_the_other_engines(plugin):
    assert {"dsp", "hpss", "copies", "htdemucs"} <= {
        card.name for card in engine_cards(EngineOptions())
    }


def test_cancelling_ends_the_worker_within_a_second(order):
    job = JobContext()
    threading.Timer(2.0, job.cancel).start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        separate_in_worker(order("sleeps"), job)
    assert time.monotonic() - started < 3.0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dies", "memory ran out"),
        ("exits", "status 3"),
        ("raises", "RuntimeError: no such"),
    ],
)
def test_a_worker_that_fails_is_told_in_words(order, name, words):
    with pytest.raises(EngineError, match=words) as caught:
        separate_in_worker(order(name), JobContext())
    assert "\n" not in str(caught.value)


def test_an_error_in_words_comes_through_as_it_is(order):
    with pytest.raises(InputError, match="too good") as caught:
        separate_in_worker(order("refuses"), JobContext())
    assert caught.value.remedy == "Choose a worse one."


def test_an_unknown_engine_is_a_usage_error_with_the_near_name(order):
    with pytest.raises(UsageError) as caught:
        separate_in_worker(order("copys"), JobContext())
    assert '"copies"' in caught.value.remedy


def test_a_worker_ends_when_its_parent_is_killed(order, plugin, tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from workstation.model import JobContext\n"
        "from workstation.separate import EngineOptions\n"
        "from workstation.separate.worker import Order, separate_in_worker\n"
        "folder = Path(sys.argv[1])\n"
        "order = Order(folder / 'a.wav', 'sleeps', EngineOptions(), folder / 'out', 'k')\n"
        "separate_in_worker(order, JobContext())\n"
    )
    order("sleeps")
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    if not children.exists():
        parent.kill()
        parent.wait()
        pytest.skip("this system does not list the children of a process")
    deadline = time.monotonic() + 20
    worker = ""
    while not worker and time.monotonic() < deadline:
        time.sleep(0.05)
        worker = children.read_text().strip()
    time.sleep(1.0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker
    assert not Path(f"/proc/{worker}").exists()


def test_modules_in_the_working_folder_are_not_imported(order, tmp_path, monkeypatch):
    (tmp_path / "msgspec.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert separate_in_worker(order("copies"), JobContext())["all"].is_file()


@pytest.mark.parametrize(
    ("system", "own", "given"),
    [
        ("always [madvise] never", None, True),
        ("always madvise [never]", None, False),
        (None, None, False),
        ("[always] madvise never", "glibc.malloc.check=1", False),
    ],
)
def test_memory_comes_in_huge_pages_where_the_system_has_them(
    tmp_path, monkeypatch, system, own, given
):
    place = tmp_path / "enabled"
    if system is not None:
        place.write_text(system)
    monkeypatch.setattr(worker, "_HUGE_PAGES", place)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    assert ("GLIBC_TUNABLES" in worker._environment()) == given
