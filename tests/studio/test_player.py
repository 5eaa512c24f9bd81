"""The player on a silent clock: a real process, real shared memory, real takes."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import workstation
from tests.cli.conftest import RATE, make_song
from workstation.audio import read_audio, write_audio
from workstation.model import InputError, UnavailableError, UsageError
from workstation.model.mixer import Strip
from workstation.perform.outputs import OutputOptions

SILENT = OutputOptions(device="none", block_frames=128)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A session of four ready-made stems on a grid of 120 bpm."""
    folder = tmp_path_factory.mktemp("player")
    rng = np.random.default_rng(1)
    (folder / "stems").mkdir()
    mix = make_song(folder / "drums.wav", seconds=12)
    shutil.move(folder / "drums.wav", folder / "stems" / "drums.wav")
    for name in ("bass", "other", "vocals"):
        noise = rng.uniform(-0.1, 0.1, mix.shape).astype(np.float32)
        write_audio(folder / "stems" / f"{name}.wav", noise, RATE, "float32")
    session = workstation.open(folder / "stems", parent=folder)
    session.analyze()
    grid = workstation.BeatGrid.constant(bpm=120, first_beat_s=0.0, duration_s=12)
    session.set_grid(grid)
    return session.path


@pytest.fixture
def session(made, tmp_path):
    shutil.copytree(made, tmp_path / "song.remix")
    return workstation.open(tmp_path / "song.remix")


def until(condition, seconds=5.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_it_plays_at_the_right_speed_and_tells_where_it_is(session):
    with session.player(SILENT) as player:
        assert player.output.silent
        assert player.state.position_s == 0
        player.play()
        until(lambda: player.state.playing)
        began, at = time.monotonic(), player.state.position_s
        time.sleep(1.0)
        moved = player.state.position_s - at
        assert moved == pytest.approx(time.monotonic() - began, abs=0.08)
        assert player.levels()["vocals"].peak[0] > 0.05
        assert player.levels()["master"].rms[0] > 0.05
        assert player.state.bar.bar == 1
        player.pause()
        until(lambda: not player.state.playing)
        player.seek(bar=3)
        until(lambda: player.state.position_s == pytest.approx(4.0))
        player.stop()
        until(lambda: player.state.position_s == 0)


def test_a_take_renders_to_the_stems_it_played(session):
    words = []
    with session.player(SILENT, say=words.append) as player:
        player.record("mine")
        player.play()
        player.set("drums.mute", 1, at="beat")
        player.set("vocals.gain", -6)
        player.wait(1.2)
        player.end_take()
        until(lambda: player.last_take == "mine")
    assert any('"mine" is kept' in line for line in words)
    take = session.takes.find("mine")
    mutes = [e.frame for e in take.events if e.control == "drums.mute"]
    assert [frame % (RATE // 2) for frame in mutes] == [0]  # On the beat, to the frame.
    made = session.render(session.path / "mine.wav", take="mine")
    assert made.duration_s == pytest.approx(take.duration_s)
    rendered, _ = read_audio(made.path)
    stems = {name: read_audio(path)[0] for name, path in session.stems.items()}
    after = slice(mutes[0] + 200, take.length_frames)
    expected = stems["bass"] + stems["other"] + stems["vocals"] * 10 ** (-6 / 20)
    np.testing.assert_allclose(rendered[:, after], expected[:, after], atol=1e-6)


def test_the_mixer_groups_and_snapshots_are_there_next_time(session):
    with session.player(SILENT) as player:
        player.set("bass.gain", -12)
        player.set("other.pan", 0.5)
        player.set("snapshot3.store")
        player.group(2, ["drums", "bass"])
        player.set("group2.mute")
        until(lambda: player.value("bass.mute") == 1)
    again = workstation.open(session.path)
    with again.player(SILENT) as player:
        assert player.mixer.strips["bass"] == Strip(gain_db=-12, muted=True)
        assert player.mixer.strips["other"].pan == 0.5
        player.set("snapshot3.recall")
        until(lambda: player.value("bass.mute") == 0)
        player.set("group2.mute", 1)
        until(lambda: player.value("drums.mute") == 1)


def test_a_script_hears_beats_and_bars(session):
    beats, bars = [], []
    with session.player(SILENT) as player:
        player.on_beat(lambda bar, beat: beats.append((bar, beat)))
        player.on_bar(bars.append)
        player.seek(bar=2)
        player.play()
        player.wait(2.3)
    assert beats[:5] == [(2, 1), (2, 2), (2, 3), (2, 4), (3, 1)]
    assert bars == [2, 3]


def test_loops_by_bars_beats_and_seconds_are_snapped(session):
    with session.player(SILENT) as player:
        player.loop(bars=(2, 3))
        until(lambda: player.state.loop_s == (2.0, 4.0))
        player.loop(beats=(1, 3))
        until(lambda: player.state.loop_s == (0.5, 1.5))
        player.loop(seconds=(0.6, 2.1))
        until(lambda: player.state.loop_s == (0.5, 2.0))
        player.loop(seconds=(0.6, 2.1), snap=None)
        until(lambda: player.state.loop_s == pytest.approx((0.6, 2.1)))
        player.play()
        player.wait(2.6)
        assert 0.6 <= player.state.position_s < 2.1
        player.unloop()
        until(lambda: player.state.loop_s is None)
        with pytest.raises(UsageError, match="empty"):
            player.loop(beats=(3, 3))


def test_what_makes_no_sense_is_refused_in_words(session):
    with session.player(SILENT) as player:
        for act, words in (
            (lambda: player.set("vocal.mute"), "vocals.mute"),
            (lambda: player.set("vocals.gain", float("nan")), "finite"),
            (lambda: player.set("vocals.mute", 1, at="noon"), "4 bars"),
            (lambda: player.group(1, ["flute"]), "vocals"),
            (player.seek, "seconds, a beat or a bar"),
            (lambda: player.replay("nine"), "Record one"),
        ):
            with pytest.raises(UsageError) as error:
                act()
            assert words in str(error.value)
    with pytest.raises(UnavailableError, match="closed"):
        player.play()
    with pytest.raises(UsageError, match="no output device"):
        session.player(OutputOptions(device="the moon"))
    with pytest.raises(UsageError, match="no controller mapping"):
        session.player(SILENT, workstation.Connections(controllers=("theremin",)))


def test_a_missing_stem_is_named(session):
    session.stems["bass"].write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bass\.wav"):
        session.player(SILENT)


def test_a_killed_player_is_noticed_keeps_its_take_and_starts_again(session):
    player = session.player(SILENT)
    try:
        player.record("cut short")
        player.play()
        player.set("bass.mute")
        player.set("quantize.grid", 2)
        player.loop(seconds=(1.0, 9.0), snap=None)
        player.wait(1.5)
        began = time.monotonic()
        os.kill(player._process.pid, signal.SIGKILL)
        until(lambda: player.failure is not None, 2.0)
        assert time.monotonic() - began < 2.0
        with pytest.raises(UnavailableError, match="ended unexpectedly"):
            player.play()
        take = session.takes.find("cut short")
        assert 0.5 < take.duration_s <= 1.7
        assert {"transport.play", "bass.mute"} <= {e.control for e in take.events}
        player.restart()
        assert player.failure is None
        assert player.value("bass.mute") == 1
        until(lambda: player.state.loop_s == pytest.approx((1.0, 9.0)))
        assert player.value("quantize.grid") == 2
        player.play()
        until(lambda: player.state.playing)
        assert player.state.position_s > 1.0
    finally:
        player.close()


def test_a_player_that_hangs_is_replaced(session):
    with session.player(SILENT) as player:
        os.kill(player._process.pid, signal.SIGSTOP)
        until(lambda: player.failure is not None, 3.0)
        assert "stopped answering" in player.failure.problem
        player.restart()
        player.play()
        until(lambda: player.state.playing)


def test_the_player_ends_with_its_parent_and_keeps_the_take(session, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, time, workstation\n"
        "player = workstation.open(sys.argv[1]).player(workstation.OutputOptions(device='none'))\n"
        "player.record('orphan'); player.play(); time.sleep(1)\n"
        "print(player._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(session.path)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: not _alive(child), 4.0)
    assert session.takes.find("orphan").duration_s > 0.8


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_changes_made_faster_than_blocks_all_arrive(session):
    with session.player(SILENT) as player:
        for k in range(6001):
            player.set("bass.pan", (k % 200 - 100) / 100)
            player.toggle("drums.mute")
        player.set("bass.pan", 0.123)
        until(lambda: player.value("bass.pan") == 0.123)
        assert player.value("drums.mute") == 1


def test_an_overdub_makes_a_take_of_both(session):
    with session.player(SILENT) as player:
        player.record("one")
        player.play()
        player.set("bass.mute")
        player.wait(0.6)
        player.end_take()
        player.stop()
        until(lambda: player.last_take == "one")
        player.replay("one", record=True, name="two")
        until(lambda: player.state.replaying)
        player.set("drums.gain", -20)
        until(lambda: player.last_take == "two")
    two = session.takes.find("two")
    assert two.over == "one"
    assert {e.control for e in two.events} >= {"bass.mute", "drums.gain"}


def test_osc_moves_the_player_and_hears_of_it(session):
    import socket

    from pythonosc.osc_bundle import OscBundle
    from pythonosc.udp_client import SimpleUDPClient

    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("127.0.0.1", 0))
    ear.settimeout(3.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wires = workstation.Connections(
        osc_listen=("127.0.0.1", port), osc_reply_to=ear.getsockname(), any_controller=False
    )
    with session.player(SILENT, wires) as player:
        SimpleUDPClient("127.0.0.1", port).send_message("/stem/vocals/mute", 1)
        until(lambda: player.value("vocals.mute") == 1)
        number = player.stems.index("vocals") + 1
        heard = {}
        while heard.get(f"/stem/{number}/mute") != 1.0:
            heard |= {m.address: m.params[0] for m in OscBundle(ear.recv(65536))}
        with pytest.raises(UnavailableError, match=str(port)):
            session.player(SILENT, wires)
    ear.close()


def test_a_take_belongs_to_the_stems_it_was_played_on(session):
    import msgspec

    with session.player(SILENT) as player:
        player.record("one")
        player.play()
        player.wait(0.4)
        player.end_take()
        until(lambda: player.last_take == "one")
        other = msgspec.structs.replace(session.takes.find("one"), engine="htdemucs", name="two")
        session.takes.add(other)
        with pytest.raises(UsageError, match="stems of htdemucs"):
            player.replay("two")
    with pytest.raises(UsageError, match="htdemucs, which are not here"):
        session.render(session.path / "two.wav", take="two")
