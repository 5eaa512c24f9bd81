"""Start-up stays light: what is heavy loads when it is used, proved in fresh processes."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "librosa", "numba", "textual", "sounddevice", "rtmidi", "demucs", "av", "scipy"}
HEAVY |= {"matplotlib", "sqlite3"}
LIGHT_TOO = {"numpy", "rich", "lxml", "soundfile"}


def modules_after(code: str) -> set[str]:
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    names = json.loads(result.stdout.strip().splitlines()[-1])
    return {name.split(".")[0] for name in names}


def test_importing_the_package_loads_nothing_heavy():
    assert not modules_after("import workstation") & (HEAVY | LIGHT_TOO)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["separate", "--help"],
        ["perform", "--help"],
        ["midi", "learn", "--help"],
        ["takes", "--help"],
        ["batch", "--help"],
        ["evaluate", "--help"],
        ["train", "--help"],
        ["completion", "bash"],
    ],
)
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import contextlib, io, workstation.cli\n"
        f"sys.argv = ['workstation', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    workstation.cli.main()"
    )
    assert not modules_after(code) & (HEAVY | LIGHT_TOO)


def test_the_help_of_export_reads_the_table_of_targets_and_loads_no_more():
    # The table needs numpy, some 0.15 s; a list by heart would not know new targets.
    code = (
        "import contextlib, io, workstation.cli\n"
        "sys.argv = ['workstation', 'export', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    workstation.cli.main()"
    )
    assert not modules_after(code) & (HEAVY | {"rich", "lxml"})


@pytest.mark.parametrize(
    "name", ["Session", "open", "BeatGrid", "probe", "engine_cards", "batch", "evaluate", "train"]
)
def test_a_public_name_loads_no_network_and_no_plotting(name):
    assert not modules_after(f"import workstation; workstation.{name}") & {
        "torch",
        "librosa",
        "demucs",
        "textual",
        "matplotlib",
    }


def test_every_public_name_is_there():
    import workstation

    for name in workstation.__all__:
        assert getattr(workstation, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        workstation.nonsense  # noqa: B018


def test_the_engines_can_be_listed_without_loading_one():
    loaded = modules_after(
        "from workstation.separate import engine_cards, EngineOptions\n"
        "engine_cards(EngineOptions(offline=True))"
    )
    assert not loaded & {"torch", "librosa", "demucs", "numba"}


def test_the_screen_loads_neither_compilers_nor_networks_nor_devices():
    code = "import workstation.tui.app, workstation.tui.screens.home, workstation.studio.player"
    loaded = modules_after(code)
    assert not loaded & {"torch", "librosa", "numba", "scipy", "sounddevice", "rtmidi", "av"}
