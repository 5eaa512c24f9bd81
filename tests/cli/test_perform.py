"""The commands of a performance, as a user types them."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

import workstation
from tests.cli.conftest import make_song
from tests.cli.test_commands import check_error
from tests.jack import JackServer, MidiBox, skip_without_jack
from workstation.audio import read_audio
from workstation.perform.outputs import OutputOptions


@pytest.fixture
def song(finished, tmp_path):
    """A folder with a session of 8 s that was separated and analysed."""
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    return tmp_path


def test_perform_records_a_take_that_renders(song, program):
    played = program(
        "perform", "song.remix", "--device", "none", "--no-controllers", "--from", "3",
        "--record", "one", cwd=song,
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    assert "bar 3." in played.stderr
    assert 'Take "one" is kept' in played.stderr
    assert played.stdout == ""
    listed = json.loads(program("takes", "list", "song.remix", "--json", cwd=song).stdout)
    assert [(t["number"], t["name"]) for t in listed] == [(1, "one")]
    made = program("render", "song.remix", "--take", "one", cwd=song)
    assert made.stdout.strip() == "song - one.wav"
    samples, rate = read_audio(song / "song - one.wav")
    mix, _ = read_audio(song / "song.remix" / "source.wav")
    assert samples.shape[1] / rate == pytest.approx(listed[0]["duration_s"], abs=1e-3)
    tail = samples.shape[1] - 500
    np.testing.assert_allclose(samples[:, -tail:], mix[:, -tail:], atol=2e-6)
    check_error(program("render", "song.remix", "--take", "one", cwd=song), 5, "song - one.wav")


def test_a_render_without_a_take_is_the_song(song, program):
    made = program("render", "song.remix", "--out", "mix.flac", cwd=song)
    assert made.returncode == 0, made.stderr
    samples, _ = read_audio(song / "mix.flac")
    mix, _ = read_audio(song / "song.remix" / "source.wav")
    np.testing.assert_allclose(samples, mix, atol=2e-6)
    check_error(program("render", "song.remix", "--out", "mix.mp3", cwd=song), 2, ".flac")


def test_takes_are_renamed_deleted_and_brought_back(song, program):
    for name in ("one", "two"):
        program(
            "perform", "song.remix", "--device", "none", "--no-controllers", "--from", "4",
            "--record", name, cwd=song,
        )  # fmt: skip
    assert '"solo"' in program("takes", "rename", "song.remix", "one", "solo", cwd=song).stderr
    program("takes", "delete", "song.remix", "two", cwd=song)
    assert "two" not in program("takes", "list", "song.remix", cwd=song).stdout
    assert '"two" is back' in program("takes", "undo", "song.remix", cwd=song).stderr
    check_error(program("takes", "delete", "song.remix", "three", cwd=song), 2, "two")
    check_error(program("takes", "list", "nowhere.remix", cwd=song), 3, "nowhere.remix")


def test_what_cannot_be_opened_is_told_with_its_remedy(song, program):
    perform = ("perform", "song.remix", "--no-controllers")
    check_error(program(*perform, "--device", "moon", cwd=song), 2, "workstation devices")
    check_error(program(*perform, "--device", "none", "--take", "9", cwd=song), 2, '"9"')
    check_error(program(*perform, "--device", "none", "--loop", "5:5", cwd=song), 2, "empty")
    check_error(program(*perform, "--loop", "five", cwd=song), 2, "5:9")
    check_error(program(*perform, "--channels", "1", cwd=song), 2, "3,4")
    check_error(program(*perform, "--device", "none", "--block", "7", cwd=song), 2, "8192")
    check_error(
        program("perform", "song.remix", "--controller", "theremin", cwd=song), 2, "theremin"
    )


def test_a_session_that_a_newer_mixer_wrote_plays_the_same(song, program):
    state = json.loads((song / "song.remix" / "session.json").read_text())
    assert state["schema_version"] == 2
    state["schema_version"] = 1
    (song / "song.remix" / "session.json").write_text(json.dumps(state))
    assert program("render", "song.remix", "--out", "a.wav", cwd=song).returncode == 0


def test_controls_are_listed_with_the_names_of_the_stems(song, program):
    ids = [c["id"] for c in json.loads(program("controls", "--json", cwd=song).stdout)]
    assert {"strip1.gain", "transport.play", "loop.beats", "bank.next"} <= set(ids)
    named = program("controls", "song.remix", cwd=song).stdout
    assert "vocals.stutter" in named


class Terminal:
    """The program in a terminal of its own, with keys."""

    def __init__(self, *arguments, cwd, columns=100):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workstation", *arguments],
            stdin=slave, stdout=slave, stderr=slave, cwd=cwd, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def until(self, words, seconds=20):
        """Read what is shown until some words are there."""
        end = time.monotonic() + seconds
        while words not in self.shown:
            assert time.monotonic() < end, self.shown[-500:]
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 4096).decode()

    def press(self, keys):
        self.shown = ""
        os.write(self.master, keys.encode())

    def leave(self):
        try:
            while True:
                self.shown += os.read(self.master, 4096).decode()
        except OSError:
            return self.process.wait(10)


def test_keys_play_mute_solo_loop_and_quit(song):
    terminal = Terminal(
        "perform", "song.remix", "--device", "none", "--no-controllers", "--paused", cwd=song
    )
    terminal.until("■ 0:00.0")
    terminal.press(" ")
    terminal.until("▶ 0:00.5")
    terminal.press("1")
    terminal.until("drums ×")
    terminal.press("@")
    terminal.until("vocals ×")
    terminal.press("u")
    until_heard(terminal)
    terminal.press("l")
    terminal.until("  loop")
    terminal.press("g")
    terminal.until("at beat")
    terminal.press("r")
    terminal.until("●")
    terminal.press("0")
    terminal.until("0:00.0")
    terminal.press("q")
    assert terminal.leave() == 0
    assert "is kept" in terminal.shown


def test_ctrl_c_ends_a_performance_well(song):
    terminal = Terminal(
        "perform", "song.remix", "--device", "none", "--no-controllers", "--record", "x", cwd=song
    )
    terminal.until("● 0:00")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.leave() == 0
    assert 'Take "x" is kept' in terminal.shown


@pytest.fixture
def server(monkeypatch):
    """A JACK server of its own."""
    skip_without_jack()
    with JackServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_midi_ports_monitor_and_test(server, program, tmp_path):
    config = {"WORKSTATION_CONFIG_DIR": str(tmp_path)}
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "pad.toml").write_text(
        'name = "Pad"\nports = ["MY PAD"]\n[[bind]]\nmessage = "note"\nnumber = 36\n'
        'to = "strip1.mute"\nled = { on = 21 }\n'
    )
    with MidiBox(server, "MY PAD") as pad:
        (port,) = json.loads(program("midi", "ports", "--json", cwd=tmp_path, **config).stdout)
        assert (port["port"], port["mapping"]) == ("MY PAD:MY PAD out", "pad")
        watch = _start("midi", "monitor", "--seconds", "3", cwd=tmp_path, **config)
        _until_said(watch, "Listening")
        pad.send([0x90, 36, 100], [0xE0, 0, 64])
        out = watch.communicate(timeout=20)[0]
        assert "channel 1   note 36 (C2) on, velocity 100" in out
        assert "pitch bend = 8192" in out
        pad.received()
        trial = _start("midi", "test", "--seconds", "3", cwd=tmp_path, **config)
        _until_said(trial, "1 lights")
        pad.send([0x90, 36, 100])
        assert "strip1.mute = 1" in trial.communicate(timeout=20)[0]
        assert pad.received().count([0x90, 36, 21]) == 2  # The trial, and then the press.


def test_learning_writes_a_mapping_that_is_used(server, program, tmp_path):
    config = {"WORKSTATION_CONFIG_DIR": str(tmp_path)}
    with MidiBox(server, "NEW BOX") as box:
        learning = _start(
            "midi", "learn", "strip1.gain", "strip1.pan", "vocals.mute", "--takeover", "scale",
            cwd=tmp_path, **config,
        )  # fmt: skip
        _until_said(learning, "for strip1.gain")
        box.send(*([0xB2, 9, v] for v in range(0, 128, 4)))
        _until_said(learning, "for strip1.pan")
        box.send(*([0xB2, 16, v] for v in (1, 1, 2, 1, 65, 66, 65, 65, 65)))
        _until_said(learning, "for vocals.mute")
        box.send([0x99, 40, 80], [0x89, 40, 0])
        out, err = learning.communicate(timeout=20)
        assert learning.returncode == 0, err
        path = tmp_path / "presets" / "NEW BOX out.toml"
        assert out.strip() == str(path)
        (port,) = json.loads(program("midi", "ports", "--json", cwd=tmp_path, **config).stdout)
        assert port["mapping"] == "NEW BOX out"
    from workstation.midi.mapping import read_mapping
    from workstation.model.midi_mapping import MessageSpec

    mapping = read_mapping(path)
    assert {b.to: b.message for b in mapping.bindings} == {
        "strip1.gain": MessageSpec("cc", 3, 9),
        "strip1.pan": MessageSpec("relative", 3, 16, "sign"),
        "vocals.mute": MessageSpec("note", 10, 40),
    }
    assert {b.takeover for b in mapping.bindings} == {"scale"}


def test_without_a_midi_system_the_remedy_is_told(program, tmp_path):
    if Path("/dev/snd/seq").exists():
        pytest.skip("this machine has an ALSA sequencer")
    nowhere = {"JACK_DEFAULT_SERVER": "nowhere", "JACK_NO_START_SERVER": "1"}
    check_error(program("midi", "ports", cwd=tmp_path, **nowhere), 4, "snd-seq")
    check_error(program("midi", "learn", "strip1.gian", cwd=tmp_path, **nowhere), 2, "strip1.gain")


def test_perform_makes_the_missing_stems_first(tmp_path, program):
    make_song(tmp_path / "new.wav", seconds=4)
    played = program(
        "perform", "new.wav", "--engine", "dsp", "--device", "none", "--no-controllers",
        cwd=tmp_path,
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    assert (tmp_path / "new.remix" / "stems" / "dsp" / "vocals.wav").is_file()


def _start(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "workstation", *arguments],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip


def _until_said(process, words):
    line = ""
    while words not in line:
        line = process.stderr.readline()
        assert line, "it ended"


def until_heard(terminal):
    """Read on until the vocals are not silenced any more."""
    end = time.monotonic() + 20
    while "vocals ×" in terminal.shown.rpartition("\r")[2] or "vocals" not in terminal.shown:
        assert time.monotonic() < end, terminal.shown[-300:]
        terminal.shown = terminal.shown[-200:]
        if select.select([terminal.master], [], [], 0.1)[0]:
            terminal.shown += os.read(terminal.master, 4096).decode()


def test_a_mix_never_takes_the_place_of_the_song_or_its_stems(song, program):
    shutil.copy(song / "song.remix" / "source.wav", song / "song.wav")
    before = (song / "song.wav").read_bytes()
    made = program("render", "song.remix", cwd=song)
    assert made.stdout.strip() == "song - mix.wav"
    stem = next((song / "song.remix").glob("stems/*/*.wav"))
    for path in (stem, song / "song.remix" / "source.wav"):
        wrong = program("render", "song.remix", "--out", path, "--overwrite", cwd=song)
        check_error(wrong, 2, "part of the session")
    assert (song / "song.wav").read_bytes() == before


def test_a_bar_that_is_not_there_is_told_with_those_that_are(song, program):
    perform = ("perform", "song.remix", "--no-controllers", "--device", "none")
    check_error(program(*perform, "--from", "999", cwd=song), 2, "bars are")


def test_a_name_of_a_take_that_is_there_is_told_before_the_music_begins(song, program):
    perform = ("perform", "song.remix", "--no-controllers", "--device", "none", "--from", "4")
    assert "there already" not in program(*perform, "--record", "first", cwd=song).stderr
    again = program(*perform, "--record", "first", cwd=song).stderr
    assert again.index("A take first is there already") < again.index("silent clock")
    names = [take.name for take in workstation.open(song / "song.remix").takes.numbered().values()]
    assert names == ["first", "first 2"]


def test_the_mixer_is_kept_and_said_and_reset(song, program):
    session = workstation.open(song / "song.remix")
    with session.player(OutputOptions(device="none")) as player:
        player.set("drums.mute", 1)
        player.fade("bass", -6.0)
        end = time.monotonic() + 5
        while player.value("bass.gain") != -6 and time.monotonic() < end:
            time.sleep(0.01)
    assert session.mixer_words == "drums muted, bass -6.0 dB"
    made = program("render", "song.remix", cwd=song)
    assert "drums muted" in made.stderr
    perform = ("perform", "song.remix", "--no-controllers", "--device", "none", "--from", "4")
    assert "drums muted" in program(*perform, cwd=song).stderr
    assert "muted" not in program(*perform, "--reset", cwd=song).stderr
    assert workstation.open(song / "song.remix").mixer_words == ""


def test_takes_and_controls_know_a_song_by_its_session(finished, tmp_path, program):
    shutil.copytree(finished, tmp_path / "copy")
    listed = program("takes", "list", "song.wav", "--json", cwd=tmp_path / "copy")
    assert listed.returncode == 0, listed.stderr
    assert '"drums.mute"' in program("controls", "song.wav", "--json", cwd=tmp_path / "copy").stdout
    check_error(program("takes", "list", "song.wav", cwd=tmp_path), 3, "song.wav")


def test_a_damaged_mapping_of_ones_own_is_told_and_the_rest_goes_on(song, program):
    presets = song / "config" / "presets"
    presets.mkdir(parents=True)
    (presets / "mine.toml").write_text("name = ")
    played = program(
        "perform", "song.remix", "--device", "none", "--from", "4", cwd=song,
        WORKSTATION_CONFIG_DIR=str(song / "config"),
    )  # fmt: skip
    assert played.returncode == 0, played.stderr


def test_perform_at_once_separates_while_it_plays_and_keeps_the_stems(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=3)
    at_once = ("perform", "song.wav", "--at-once", "--engine", "hpss", "--device", "none",
               "--no-controllers")  # fmt: skip
    check_error(program(*at_once, "--click", cwd=tmp_path), 2, "--at-once")
    played = program(*at_once, cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert "it plays as soon as" in played.stderr
    session = workstation.open(tmp_path / "song.remix")
    assert list(session.stems) == ["harmonic", "percussive"]
