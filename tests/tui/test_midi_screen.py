"""The MIDI screen with a real controller on a real JACK server."""

import tomllib

from tests.jack import JackServer, MidiBox, skip_without_jack
from tests.tui.conftest import drive_session, text_of, until


def test_devices_monitor_and_learning(folder, monkeypatch):
    skip_without_jack()
    with JackServer(rate_hz=44100, period=256) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        box = MidiBox(server, "Strange Box")

        async def script(app, pilot, screen):
            await pilot.press("space")
            await until(pilot, lambda: screen.player.state.playing)
            player, pid = screen.player, screen.player._process.pid
            await pilot.press("d")
            await until(pilot, lambda: "no mapping: press l" in text_of(app))
            await pilot.press("m")
            await until(pilot, lambda: "listening" in text_of(app))
            box.send([0xB0, 7, 100])
            await until(pilot, lambda: "b0 07 64" in text_of(app))
            await pilot.press("m", "l", *"bass.gain", "enter")
            await until(pilot, lambda: "Move the knob" in text_of(app).replace("\n", " "))
            for value in (*range(0, 128, 8), 127):
                box.send([0xB0, 21, value])
            await until(pilot, lambda: "kept in" in text_of(app))
            await until(pilot, lambda: "CC 21" in text_of(app))
            await pilot.press("d")
            await until(pilot, lambda: app.screen is screen)
            # What was learned works at once, and the music did not stop for it.
            await until(pilot, lambda: any(c["connected"] for c in player.controllers))
            for value in range(127, -1, -8):  # Through where the fader stands: it is picked up.
                box.send([0xB0, 21, value])
            box.send([0xB0, 21, 0])
            await until(pilot, lambda: player.value("bass.gain") < -30)
            assert screen.player is player
            assert player._process.pid == pid
            box.kill()

        drive_session(script, folder / "Night Drive.remix", size=(120, 40), any_controller=True)
    (file,) = (folder / "config" / "presets").glob("*.toml")
    (row,) = tomllib.loads(file.read_text())["bind"]
    assert row["to"] == "bass.gain"


def test_no_midi_system_says_what_to_do(folder, monkeypatch):
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "workstation-test-none")

    async def script(app, pilot, screen):
        await pilot.press("d")
        await until(pilot, lambda: "MIDI" in text_of(app) and "snd-seq" in text_of(app))

    drive_session(script, folder / "Night Drive.remix")
