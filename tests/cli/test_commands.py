"""The commands as a user types them: results, words, exit codes."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.cli.conftest import RATE, make_song
from workstation.audio import read_audio

NO_TRACEBACK = "Traceback"


def check_error(result, code, *words):
    assert result.returncode == code, result.stderr
    assert NO_TRACEBACK not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith(("Error", "Remedy"))]
    assert [line.split()[0] for line in lines] == ["Error", "Remedy"], result.stderr
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""


def test_separate_writes_stems_that_sum_to_the_song(tmp_path, program):
    mix = make_song(tmp_path / "song.wav")
    made = program("separate", "song.wav", "--engine", "dsp", "--out", "stems", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == [f"stems/{n}.wav" for n in ("drums", "bass", "other", "vocals")]
    stems = [read_audio(tmp_path / line)[0] for line in made.stdout.split()]
    assert np.abs(sum(stems) - mix).max() <= 1e-6


def test_only_the_stems_that_were_asked_for_are_copied(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    made = program(
        "separate", "song.remix", "--stems", "vocals,drums", "--out", "some", "--json", cwd=tmp_path
    )
    assert sorted(p.name for p in (tmp_path / "some").iterdir()) == ["drums.wav", "vocals.wav"]
    assert json.loads(made.stdout)["stems"] == {
        "vocals": "some/vocals.wav",
        "drums": "some/drums.wav",
    }
    check_error(
        program("separate", "song.remix", "--stems", "flute", "--out", "x", cwd=tmp_path),
        2,
        '"flute"',
        "drums",
    )


def test_stems_that_are_there_are_not_replaced_unasked(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bass.wav").write_text("mine")
    check_error(program("separate", "song.remix", "--out", "out", cwd=tmp_path), 5, "--overwrite")
    assert (tmp_path / "out" / "bass.wav").read_text() == "mine"
    assert (
        program("separate", "song.remix", "--out", "out", "--overwrite", cwd=tmp_path).returncode
        == 0
    )
    assert read_audio(tmp_path / "out" / "bass.wav")[1] == RATE


def test_analyze_prints_json_with_the_documented_names(finished, program):
    found = json.loads(program("analyze", "song.remix", "--json", cwd=finished).stdout)
    assert {"bpm", "key", "loudness_lufs", "grid", "sections"} <= set(found)
    assert {"beats_s", "downbeats", "beats_per_bar"} == set(found["grid"])
    assert abs(found["bpm"] - 120) < 0.1
    assert found["sections"][0].keys() == {"start_s", "end_s", "label"}


def test_analyzing_a_file_leaves_nothing_behind(tmp_path, program):
    make_song(tmp_path / "song.wav")
    result = program("analyze", "song.wav", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "120.0" in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["song.wav"]


def test_an_edit_of_the_grid_is_kept(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    assert program("analyze", "song.remix", "--halve", "--meter", "3", cwd=tmp_path).returncode == 0
    found = json.loads(program("analyze", "song.remix", "--json", cwd=tmp_path).stdout)
    assert abs(found["bpm"] - 60) < 0.1
    assert found["grid"]["beats_per_bar"] == 3
    again = program("analyze", "song.remix", "--again", "--json", cwd=tmp_path)
    assert abs(json.loads(again.stdout)["bpm"] - 120) < 0.1


@pytest.mark.parametrize("taps", ["1,2,x", "", "2,1,1", "1"])
def test_taps_that_make_no_grid_are_refused(finished, tmp_path, program, taps):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    check_error(program("analyze", "song.remix", "--taps", taps, cwd=tmp_path), 2)


def test_export_prints_the_folders_it_made(finished, program):
    made = program(
        "export", "song.remix", "--to", "dawproject,stems", "--out", "out", "--json", cwd=finished
    )
    assert made.returncode == 0, made.stderr
    reports = json.loads(made.stdout)
    assert [report["target"] for report in reports] == ["dawproject", "stems"]
    for report in reports:
        for name in report["files"]:
            assert (finished / report["folder"] / name).is_file()
    check_error(
        program("export", "song.remix", "--to", "stems", "--out", "out", cwd=finished),
        5,
        "--overwrite",
    )


@pytest.mark.parametrize(("target", "near"), [("repaer", "reaper"), ("dawprojet", "dawproject")])
def test_an_unknown_target_suggests_the_near_name_at_once(tmp_path, program, target, near):
    check_error(program("export", "nothing.wav", "--to", target, cwd=tmp_path), 2, f'"{near}"')


def test_an_unknown_engine_suggests_the_near_name(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=1)
    result = program("separate", "song.wav", "--engine", "htdemcs", cwd=tmp_path)
    check_error(result, 2, '"htdemucs"')


def test_a_named_engine_never_falls_back(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=1)
    result = program(
        "separate",
        "song.wav",
        "--engine",
        "htdemucs",
        "--offline",
        cwd=tmp_path,
        WORKSTATION_CACHE_DIR=str(tmp_path / "cache"),
        TORCH_HOME=str(tmp_path),
        HF_HOME=str(tmp_path),
    )
    check_error(result, 4, "htdemucs", "--models-dir")


def test_auto_says_which_engine_it_takes_and_why(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=2)
    result = program(
        "separate",
        "song.wav",
        "--offline",
        cwd=tmp_path,
        WORKSTATION_CACHE_DIR=str(tmp_path / "cache"),
        TORCH_HOME=str(tmp_path),
        HF_HOME=str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert "Engine: dsp" in result.stderr
    assert "htdemucs" in result.stderr


@pytest.mark.parametrize(
    "command", [["separate"], ["analyze"], ["export", "--to", "midi"], ["info"]]
)
def test_bad_input_is_one_clear_error(tmp_path, program, command):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound " * 100)
    (tmp_path / "folder").mkdir()
    for name in ("empty.wav", "text.wav", "folder", "nothing.wav"):
        check_error(program(command[0], name, *command[1:], cwd=tmp_path), 3, name)
    assert not list(tmp_path.glob("*.remix"))


def test_info_describes_files_and_sessions(finished, program):
    file = json.loads(program("info", "song.wav", "--json", cwd=finished).stdout)
    assert (file["frames"], file["sample_rate_hz"], file["channels"]) == (8 * RATE, RATE, 2)
    session = json.loads(program("info", "song.remix", "--json", cwd=finished).stdout)
    assert list(session["stems"]) == ["drums", "bass", "other", "vocals"]
    assert session["meter"] in {"4/4", "3/4"}
    assert "song" in program("info", "song.remix", cwd=finished).stdout


def test_the_tables_list_engines_models_and_the_machine(tmp_path, program):
    cards = json.loads(program("engines", "--json", cwd=tmp_path).stdout)
    assert {"dsp", "hpss", "repet-sim", "nmf", "htdemucs", "htdemucs_ft", "htdemucs_6s"} <= {
        card["name"] for card in cards
    }
    assert all(card["code_licence"] and card["stems"] for card in cards)
    assert {"texture", "place"} <= {card["family"] for card in cards}
    table = program("engines", cwd=tmp_path).stdout
    for heading in ("By instrument", "By texture", "By place in the stereo image"):
        assert heading in table
    assert all(card["name"] in table and card["summary"] in table for card in cards)
    models = json.loads(program("models", "--json", cwd=tmp_path).stdout)
    assert all(row["licence"] for row in models)
    doctor = program("doctor", cwd=tmp_path, WORKSTATION_CACHE_DIR=str(tmp_path))
    assert doctor.returncode == 0, doctor.stdout
    assert "torch" in doctor.stdout


def test_a_settings_file_with_an_unknown_key_names_the_near_one(tmp_path, program):
    (tmp_path / "settings.toml").write_text('engin = "dsp"')
    make_song(tmp_path / "song.wav", seconds=1)
    result = program("separate", "song.wav", cwd=tmp_path, WORKSTATION_CONFIG_DIR=str(tmp_path))
    check_error(result, 3, '"engine"')


def test_control_c_stops_within_a_second_and_the_next_run_goes_on(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=240)
    command = [sys.executable, "-m", "workstation", "separate", "song.wav", "--engine", "dsp"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        state = tmp_path / "song.remix" / ".work" / "dsp" / "state.json"
        deadline = time.monotonic() + 100
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        words = process.communicate(timeout=10)[1]
        assert time.monotonic() - asked < 1.5
    assert process.returncode == 130
    assert NO_TRACEBACK not in words
    assert not (tmp_path / "song.remix" / "stems").exists()
    done = json.loads(state.read_text())["done"]
    assert done >= 1


def test_a_killed_run_is_continued_and_ends_with_the_same_stems(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=150)
    command = [sys.executable, "-m", "workstation", "separate", "song.wav", "--engine", "dsp"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        state = tmp_path / "song.remix" / ".work" / "dsp" / "state.json"
        deadline = time.monotonic() + 100
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    again = program("separate", "song.wav", "--engine", "dsp", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (tmp_path / "fresh").mkdir()
    fresh = program("separate", "../song.wav", "--engine", "dsp", cwd=tmp_path / "fresh")
    assert fresh.returncode == 0, fresh.stderr
    for name in ("drums", "bass", "other", "vocals"):
        part = f"song.remix/stems/dsp/{name}.wav"
        assert (tmp_path / part).read_bytes() == (tmp_path / "fresh" / part).read_bytes()


def test_a_second_writer_is_told_to_wait_while_reading_goes_on(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=150)
    command = [sys.executable, "-m", "workstation", "separate", "song.wav", "--engine", "dsp"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 100
        while not (tmp_path / "song.remix" / ".work" / "dsp").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second = program("separate", "song.remix", "--engine", "hpss", cwd=tmp_path)
        reading = program("info", "song.remix", cwd=tmp_path)
        process.kill()
    check_error(second, 7, "in use", str(process.pid))
    assert reading.returncode == 0


@pytest.mark.parametrize("target", ["stems", "dawproject"])
def test_a_killed_export_is_made_whole_by_the_next_run(tmp_path, program, target):
    make_song(tmp_path / "song.wav", seconds=110)
    assert program("separate", "song.wav", "--engine", "hpss", cwd=tmp_path).returncode == 0
    assert program("analyze", "song.remix", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "workstation", "export", "song.remix", "--to", target]
    partial = tmp_path / "song.remix" / "exports" / f".{target}.partial"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not partial.exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
    assert not (tmp_path / "song.remix" / "exports" / target).exists()
    again = program("export", "song.remix", "--to", target, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (report,) = json.loads(again.stdout)
    folder = tmp_path / report["folder"]
    assert sorted(p.name for p in folder.parent.iterdir()) == [target]
    assert all((folder / name).is_file() for name in report["files"])


def test_own_weights_are_used_from_a_folder(tmp_path, program):
    from tests.separate.tiny_demucs import tiny_network, write_safetensors

    (tmp_path / "models").mkdir()
    write_safetensors(tmp_path / "models", "mine", tiny_network())
    mix = make_song(tmp_path / "song.wav", seconds=3)
    made = program(
        "separate",
        "song.wav",
        "--engine",
        "mine",
        "--models-dir",
        "models",
        "--out",
        "out",
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    stems = [read_audio(tmp_path / line)[0] for line in made.stdout.split()]
    assert len(stems) == 4
    assert np.abs(sum(stems) - mix).max() <= 1e-6


def test_a_session_serves_all_commands_given_in_one_folder(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=3)
    for arguments in (
        ["separate", "song.wav", "--engine", "dsp", "--out", "stems"],
        ["export", "song.wav", "--to", "midi", "--out", "projects"],
    ):
        assert program(*arguments, cwd=tmp_path).returncode == 0
    assert [p.name for p in tmp_path.rglob("*.remix")] == ["song.remix"]


def test_stems_that_were_deleted_are_made_again(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    (tmp_path / "song.remix" / "stems" / "dsp" / "bass.wav").unlink()
    facts = json.loads(program("info", "song.remix", "--json", cwd=tmp_path).stdout)
    assert facts["stems"]["bass"] == "missing"
    made = program("export", "song.remix", "--to", "stems", "--out", "out", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "song.remix" / "stems" / "dsp" / "bass.wav").is_file()


def test_a_referenced_song_that_has_changed_is_noticed(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=2)
    assert (
        program(
            "export", "song.wav", "--to", "midi", "--engine", "hpss", "--reference", cwd=tmp_path
        ).returncode
        == 0
    )
    make_song(tmp_path / "song.wav", seconds=3)
    check_error(
        program("separate", "song.remix", "--engine", "dsp", cwd=tmp_path), 3, "has changed"
    )


def test_brackets_and_escapes_in_titles_are_printed_as_they_are(tmp_path, program):
    name = "Song [feat. Bob] [/x] \x1b[31mred.wav"
    make_song(tmp_path / name, seconds=2)
    result = program("info", name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[feat. Bob] [/x]" in " ".join(result.stdout.split())
    assert "\x1b" not in result.stdout
    assert "\x1b" not in program("info", "no\x1b[31mthing.wav", cwd=tmp_path).stderr


def test_overwriting_replaces_exports_and_nothing_else(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    result = program(
        "export", "song.remix", "--to", "stems", "--out", "song.remix", "--overwrite", cwd=tmp_path
    )
    check_error(result, 5, "is not an export")
    assert (tmp_path / "song.remix" / "stems" / "dsp" / "bass.wav").is_file()


def test_an_encoding_that_cannot_carry_the_song_is_refused_before_the_work(tmp_path, program):
    from workstation.audio import write_audio

    write_audio(tmp_path / "song.wav", np.zeros((2, 96000), np.float32), 96000, "pcm24")
    result = program("export", "song.wav", "--to", "stems", "--encoding", "mp3", cwd=tmp_path)
    check_error(result, 2, "mp3", "96000")


def test_a_downbeat_outside_the_song_is_refused(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    check_error(program("analyze", "song.remix", "--downbeat", "9999", cwd=tmp_path), 2, "9999")


def test_the_demo_touches_no_session_but_its_own(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=2)
    assert program("separate", "song.wav", "--engine", "hpss", cwd=tmp_path).returncode == 0
    first = program("demo", "--out", ".", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert min(stem["sdr_db"] - stem["trivial_db"] for stem in result["stems"]) > 1
    assert result["beats"]["f_measure"] > 0.95
    assert result["null_db"] < -110
    check_error(program("demo", "--out", ".", cwd=tmp_path), 5, "--overwrite")
    assert program("demo", "--out", ".", "--overwrite", cwd=tmp_path).returncode == 0
    assert (tmp_path / "song.remix" / "session.json").is_file()
