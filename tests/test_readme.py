"""Every command and every piece of Python in the README does what it says."""

import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import make_song, program  # noqa: F401  (a fixture)
from tests.terminal import Terminal, skip_without

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    return [line for line in lines if line.startswith("workstation ") and line not in screens()]


def screens():
    """Those that open the screen and stay there."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line in {"workstation", "workstation song.mp3"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like that of the reader: a song of this title, more songs, and its true stems."""
    import soundfile

    folder = tmp_path_factory.mktemp("reader")
    make_song(folder / "song.wav", seconds=20)
    samples, rate = soundfile.read(folder / "song.wav")
    soundfile.write(folder / "song.mp3", samples, rate)
    (folder / "song.wav").unlink()
    (folder / "songs").mkdir()
    make_song(folder / "songs" / "another.wav", seconds=4)
    (folder / "true stems").mkdir()
    samples, rate = soundfile.read(folder / "song.mp3")
    for name in ("drums", "vocals"):
        soundfile.write(folder / "true stems" / f"{name}.wav", 0.5 * samples, rate)
    return folder


def test_the_commands_work_in_their_order(folder, program):  # noqa: F811
    assert len(commands()) > 10
    for line in commands():
        # The reader's song has a title in its tags; ours is named after its file.
        arguments = [a.replace("Song Title", "song") for a in shlex.split(line)[1:]]
        result = program(
            *arguments,
            cwd=folder,
            WORKSTATION_CACHE_DIR=str(folder / ".cache"),
            WORKSTATION_CONFIG_DIR=str(folder / ".config"),
            TORCH_HOME=str(folder / ".cache"),
            HF_HOME=str(folder / ".cache"),
        )
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_the_screen_opens_at_home_and_with_a_song(folder):
    skip_without("tmux")
    environment = {"WORKSTATION_CONFIG_DIR": str(folder / ".config")}
    for line in screens():
        command = [sys.executable, "-m", *shlex.split(line)]
        with Terminal(folder, command, environment) as terminal:
            if line == "workstation":
                terminal.wait_for("a remix workstation for the terminal", "Open")
            else:
                terminal.wait_for("drums", "MASTER", seconds=90)
            terminal.press("C-q")
            terminal.wait_until(terminal.ended)


def test_the_python_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.rmtree("song.remix", ignore_errors=True)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (folder / "projects-from-python" / "reaper").is_dir()


def test_the_two_commands_that_do_all_the_set_up_are_the_real_ones():
    set_up = [line for block in blocks("sh") for line in block.splitlines() if "venv" in line]
    run, check = set_up
    assert run == ("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/workstation demo")
    assert check == "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "pytest" in " ".join(project["optional-dependencies"]["dev"])
    assert project["scripts"]["workstation"] == "workstation.cli:main"


def test_the_exit_codes_in_the_readme_are_those_of_the_errors():
    from workstation.model import errors

    documented = {int(n) for n in re.findall(r"\| (\d+) \|", README)}
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.WorkstationError)
    ]
    assert {kind.exit_code for kind in kinds} <= documented
