"""Every action of the table, by its key, on the state of the player and the screens."""

import pytest

from tests.tui.conftest import drive, drive_session, until
from workstation.model import WorkstationError
from workstation.model.controls import control_table
from workstation.tui.actions import APP_ACTIONS, HOME_ACTIONS, SESSION_ACTIONS
from workstation.tui.screens.grid import GRID_ACTIONS
from workstation.tui.screens.midi import MIDI_ACTIONS

# Action -> control and value after its key was pressed once, on a session at rest with the
# first stem (bass) selected.
CONTROLS = {
    "play": ("transport.play", 1),
    "loop": ("loop.on", 1),
    "click": ("click.on", 1),
    "quantize": ("quantize.grid", 1),
    "count_in": ("count_in.bars", 1),
    "mute": ("bass.mute", 1),
    "solo": ("bass.solo", 1),
    "alone": ("drums.mute", 1),
    "gain_up": ("bass.gain", 1),
    "gain_down": ("bass.gain", -1),
    "pan_left": ("bass.pan", -0.1),
    "pan_right": ("bass.pan", 0.1),
    "filter_down": ("bass.filter", -0.1),
    "filter_up": ("bass.filter", 0.1),
    "stutter": ("bass.stutter", 16),
    "master_up": ("master.gain", 1),
    "master_down": ("master.gain", -1),
    **{f"mute{n}": (f"{stem}.mute", 1) for n, stem in enumerate(
        ("bass", "drums", "other", "vocals"), start=1)},
    **{f"solo{n}": (f"{stem}.solo", 1) for n, stem in enumerate(
        ("bass", "drums", "other", "vocals"), start=1)},
}  # fmt: skip
# What changes more than one control, or none of the player's; each has a test below.
OTHERS = {
    "stop", "back", "forward", "loop_in", "loop_out", "loop_halve", "loop_double", "record", "up",
    "down", "unmute", "fade_out", "fade_in", "reset", "zoom_in", "zoom_out", "whole",
    "scroll_left", "scroll_right", "follow", "takes", "export", "grid", "midi", "separate",
    "render", "home",
    *(f"{what}{n}" for what in ("mute", "solo") for n in range(5, 10)),
    *(f"{verb}{n}" for verb in ("recall", "store") for n in range(1, 9)),
}  # fmt: skip


def key(action):
    return action.keys.split(",")[0]


def action(name, table=SESSION_ACTIONS):
    return next(a for a in table if a.id == name)


def test_every_action_is_tested_here():
    assert {a.id for a in SESSION_ACTIONS} == CONTROLS.keys() | OTHERS


@pytest.mark.parametrize("table", [SESSION_ACTIONS, HOME_ACTIONS, GRID_ACTIONS, MIDI_ACTIONS])
def test_no_key_means_two_things(table):
    keys = [k for a in (*table, *APP_ACTIONS) for k in a.keys.split(",")]
    assert len(keys) == len(set(keys))
    ids = [a.id for a in table]
    assert len(ids) == len(set(ids))


def test_every_control_of_the_table_exists():
    controls = control_table(("bass",))
    named = {a.control.replace("{stem}", "bass") for a in SESSION_ACTIONS if a.control}
    assert named <= controls.keys()


def test_keys_change_the_player(folder):
    async def script(app, pilot, screen):
        player = screen.player
        defaults = {name: spec.default for name, spec in player.table.items()}
        for name, (control, value) in CONTROLS.items():
            await pilot.press(key(action(name)))
            await until(pilot, lambda c=control, v=value: abs(player.value(c) - v) < 1e-6)
            if name == "play":
                await pilot.press("0")
            # Back to how it was, so that every key is judged alone.
            for touched in player.table:
                changes = touched.rpartition(".")[2] in {
                    "gain", "pan", "mute", "solo", "filter", "stutter", "on", "bars", "grid",
                }  # fmt: skip
                if changes and player.value(touched) != defaults[touched]:
                    player.set(touched, defaults[touched], at="off")
            await until(pilot, lambda c=control: abs(player.value(c) - defaults[c]) < 1e-6)

    drive_session(script, folder / "Night Drive.remix")


def test_transport_keys(folder):
    async def script(app, pilot, screen):
        player = screen.player
        for keys, position in (("right", 2.0), ("right", 4.0), ("left", 2.0), ("0", 0.0)):
            await pilot.press(keys)
            await until(pilot, lambda p=position: abs(player.state.position_s - p) < 0.01)
        await pilot.press("right", "i")
        await pilot.press("right", "o")
        await until(pilot, lambda: player.state.loop_s is not None)
        assert player.state.loop_s == pytest.approx((2.0, 4.0), abs=1e-3)
        await pilot.press("[")
        await until(pilot, lambda: player.value("loop.end") == pytest.approx(3.0, abs=1e-3))
        await pilot.press("]", "]")
        await until(pilot, lambda: player.value("loop.end") == pytest.approx(6.0, abs=1e-3))

    drive_session(script, folder / "Night Drive.remix")


def test_mixer_keys_that_do_more(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await pilot.press("down", "m", "down", "s")
        assert screen.stem == "other"
        await until(pilot, lambda: player.value("drums.mute") and player.value("other.solo"))
        await pilot.press("up", "up", "up")
        assert screen.stem == "bass"
        await pilot.press("u")
        await until(
            pilot, lambda: not player.value("drums.mute") and not player.value("other.solo")
        )
        await pilot.press("+", "+", "<", "{")
        await until(pilot, lambda: player.value("bass.filter") < 0)
        await pilot.press("shift+f1", "backspace")
        neutral = player.mixer.strips["drums"]
        await until(pilot, lambda: player.mixer.strips["bass"] == neutral)
        await pilot.press("f1")
        await until(pilot, lambda: player.value("bass.gain") == 2 and player.value("bass.pan") < 0)
        for n in range(2, 9):
            await pilot.press(f"shift+f{n}", f"f{n}")
        for n in range(5, 10):  # There are only four stems: nothing happens.
            await pilot.press(str(n), key(action(f"solo{n}")))
        assert not any(s.muted or s.soloed for s in player.mixer.strips.values())

    drive_session(script, folder / "Night Drive.remix")


def test_fades_take_four_bars(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await pilot.press("space", "f")
        await until(pilot, lambda: player.state.playing)
        await pilot.pause(1.0)
        await until(pilot, lambda: player.value("bass.gain") < -1)
        await pilot.press("F")
        await pilot.pause(0.1)
        assert player.failure is None

    drive_session(script, folder / "Night Drive.remix")


def test_a_take_by_keys_alone(folder):
    async def script(app, pilot, screen):
        await pilot.press("r", "space")
        await until(pilot, lambda: screen.player.state.playing and screen.recording)
        await pilot.press("m")
        await pilot.pause(0.4)
        await pilot.press("r")
        await until(pilot, lambda: screen.player.last_take is not None)
        take = screen.session.takes.find("last")
        assert [e.control for e in take.events if e.control.endswith("mute")] == ["bass.mute"]
        await pilot.press("0", "t")
        await pilot.pause(0.1)
        await pilot.press("r")
        await pilot.press(*"!!", "enter")
        assert screen.session.takes.find("1").name.endswith("!!")
        await pilot.press("delete")
        assert screen.session.takes.numbered() == {}
        await pilot.press("u")
        assert len(screen.session.takes.numbered()) == 1
        await pilot.press("enter")
        await until(pilot, lambda: screen.player.state.replaying)

    drive_session(script, folder / "Night Drive.remix")


def test_what_is_seen_of_the_song(folder):
    async def script(app, pilot, screen):
        whole = screen.timeline
        assert whole.start_s == 0
        assert whole.end_s == pytest.approx(12)
        await pilot.press("z", "z")
        assert screen.timeline.each_s == pytest.approx(whole.each_s / 4)
        await pilot.press(".")
        assert screen.timeline.start_s == pytest.approx(1.5, abs=0.1)
        await pilot.press(",")
        assert screen.timeline.start_s == 0
        assert not screen.following
        await pilot.press("y")
        assert screen.following
        await pilot.press("Z")
        assert screen.timeline.each_s == pytest.approx(whole.each_s / 2)
        await pilot.press("w")
        assert screen.timeline == whole

    drive_session(script, folder / "Night Drive.remix")


@pytest.mark.parametrize(
    ("name", "screen_name"),
    [
        ("takes", "TakesDialog"), ("export", "ExportDialog"), ("grid", "GridScreen"),
        ("midi", "MidiScreen"), ("separate", "EngineDialog"), ("render", "RenderDialog"),
    ],
)  # fmt: skip
def test_other_screens_open_and_close(folder, name, screen_name):
    async def script(app, pilot, screen):
        await pilot.press(key(action(name)))
        await pilot.pause(0.1)
        assert type(app.screen).__name__ == screen_name
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)

    drive_session(script, folder / "Night Drive.remix")


def test_home_asks_while_the_music_plays(folder):
    async def script(app, pilot, screen):
        await pilot.press("space")
        await until(pilot, lambda: screen.player.state.playing)
        await pilot.press("escape")  # A slip of the hand on a stage does nothing.
        assert app.screen is screen
        await pilot.press("h")
        await pilot.pause(0.1)
        assert type(app.screen).__name__ == "Question"
        await pilot.press("escape")
        assert screen.player.state.playing
        await pilot.press("h")
        await pilot.pause(0.1)
        await pilot.press("shift+tab", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "HomeScreen")

    drive_session(script, folder / "Night Drive.remix")


def test_home_ends_the_player(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await pilot.press("h")
        await until(pilot, lambda: type(app.screen).__name__ == "HomeScreen")
        await until(pilot, lambda: player._closed)
        with pytest.raises(WorkstationError):
            player.play()

    drive_session(script, folder / "Night Drive.remix")


def test_the_whole_application(folder):
    async def script(app, pilot):
        await until(pilot, lambda: app.screen.table.row_count == 1)
        await pilot.press("?")
        assert type(app.screen).__name__ == "HelpDialog"
        await pilot.press("escape", "b")
        assert type(app.screen).__name__ == "JobsDialog"
        await pilot.press("escape")
        assert app.theme == "workstation-dark"
        await pilot.press("ctrl+t")
        assert app.theme == "workstation-light"
        await pilot.press("ctrl+s")
        assert type(app.screen).__name__ == "SettingsDialog"
        await pilot.press("escape", "ctrl+q")
        await until(pilot, lambda: app._exit)

    drive(script)
