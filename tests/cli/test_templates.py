"""`workstation templates`, and exports that look like one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import workstation
from tests.cli.test_commands import check_error
from workstation.audio import read_audio


@pytest.fixture
def song(finished, tmp_path):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    return tmp_path


def test_templates_are_listed_shown_copied_and_checked(program, tmp_path):
    config = {"WORKSTATION_CONFIG_DIR": str(tmp_path / "config")}
    made = program("templates", "new", "mine", "--from", "stage", cwd=tmp_path, **config)
    assert made.returncode == 0, made.stderr
    file = Path(made.stdout.strip())
    assert file == tmp_path / "config" / "templates" / "mine.toml"
    check_error(program("templates", "new", "mine", cwd=tmp_path, **config), 5, "mine.toml")
    check_error(program("templates", "new", "../x", cwd=tmp_path, **config), 2, "../x")
    listed = json.loads(program("templates", "list", "--json", cwd=tmp_path, **config).stdout)
    assert {"mine", "remix", "karaoke"} <= {entry["name"] for entry in listed}
    assert program("templates", "check", file, cwd=tmp_path, **config).returncode == 0
    shown = program("templates", "show", "mine", cwd=tmp_path, **config)
    assert "outputs 9, 10" in shown.stdout
    assert str(file) in shown.stderr
    file.write_text(file.read_text().replace("output = 3", "outptu = 3"))
    answer = program("templates", "check", file, cwd=tmp_path, **config)
    check_error(answer, 3, '"outptu"', "in track 2", '"output"')
    table = program("templates", "list", cwd=tmp_path, **config)
    assert table.returncode == 0
    assert "outptu" in table.stdout
    assert "remix" in table.stdout


def test_a_song_with_a_count_in_and_a_click(song, program):
    made = program(
        "export", "song.remix", "--to", "reaper,midi", "--template", "practice", "--out", "out",
        "--encoding", "float32", "--json", cwd=song,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    stems = sorted((song / "out" / "reaper" / "stems").iterdir())
    assert [path.name[3:-4] for path in stems][:2] == ["Count-in", "Metronome"]
    session = workstation.open(song / "song.remix")
    grid, rate = session.analysis.grid, session.song.source.sample_rate_hz
    count_in, metronome = (read_audio(path)[0][0] for path in stems[:2])
    mix = sum(read_audio(path)[0] for path in stems[2:])
    lead = len(count_in) - session.song.source.frames
    source = read_audio(session.source_path)[0]
    assert np.abs(mix[:, lead:] - source).max() < 1e-6
    assert lead / rate >= 2 * grid.beats_per_bar * 60 / grid.bpm - 0.05
    # Clicks are on the beats: two bars of them before the song, and then on the song's own.
    onsets = {}
    for name, track in (("count-in", count_in), ("metronome", metronome)):
        loud = np.flatnonzero(np.abs(track) > 0.2)
        onsets[name] = loud[np.flatnonzero(np.diff(loud, prepend=-rate) > rate // 20)] / rate
    assert len(onsets["count-in"]) >= 8
    assert onsets["count-in"].max() < lead / rate
    for beat_s in grid.beats_s[2:8]:
        assert np.abs(onsets["metronome"] - beat_s - lead / rate).min() < 0.002
    assert not metronome[: lead - round(0.05 * rate)].any()


def test_a_take_goes_with_a_template(song, program):
    for target in ("reaper", "ableton"):
        made = program(
            "export", "song.remix", "--to", target, "--template", "remix", "--out", "out", cwd=song
        )
        assert made.returncode == 0, made.stderr
    text = (song / "out" / "reaper" / "song.rpp").read_text()
    assert text.count("ISBUS 1 1") == 3
    assert 'NAME "New drums"' in text


def test_what_no_template_is_is_told(song, program):
    export = ("export", "song.remix", "--to", "reaper", "--out", "out", "--template")
    check_error(program(*export, "remiks", cwd=song), 2, "remiks", '"remix"')
    check_error(program(*export, "remix", "--template", "stage", cwd=song), 2, "one kind")
    (song / "bad.toml").write_text("template_version = 1\n")
    check_error(program(*export, "bad.toml", cwd=song), 3, "bad.toml")
    check_error(program(*export, "gone.toml", cwd=song), 3, "gone.toml")
    assert not (song / "out").exists()


def test_a_dj_edit_has_loops_beside_it(song, program):
    made = program(
        "export", "song.remix", "--to", "reaper", "--template", "dj-edit", "--out", "out",
        "--json", cwd=song,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (report,) = json.loads(made.stdout)
    loops = [name for name in report["files"] if name.startswith("loops/")]
    assert loops
    assert any("loops/" in words for words in report["dropped"])
    grid = workstation.open(song / "song.remix").analysis.grid
    path = song / "out" / "reaper" / loops[0]
    info = soundfile.info(path)
    bars = info.duration * grid.bpm / 60 / grid.beats_per_bar
    assert abs(bars - round(bars)) < 0.02
    data = path.read_bytes()
    assert b"acid" in data
    assert b"smpl" in data
