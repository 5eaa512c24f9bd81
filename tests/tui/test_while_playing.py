"""What must not happen to somebody who performs: dialogs that take the keys, lost edits."""

import threading

import pytest

import workstation
from tests.tui.conftest import SILENT, drive_session, text_of, until
from workstation.audio import read_audio
from workstation.model import InputError, WorkstationError
from workstation.tui.words import typed_path


def told(app):
    """What stands at the side of the screen for a while."""
    return " ".join(notification.message for notification in app._notifications)


def test_a_result_waits_while_the_music_plays(folder):
    async def script(app, pilot, screen):
        from workstation.tui.screens.dialogs import ErrorDialog

        def fail(job):
            raise InputError("The disk is full.", "Free some space.")

        await pilot.press("space")
        await until(pilot, lambda: screen.player.state.playing)
        job = app.run_job("Copy", fail)
        await until(pilot, lambda: job.ended and "disk is full" in told(app))
        assert app.screen is screen  # The keys still play.
        await pilot.press("b", "enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorDialog))
        await pilot.press("escape", "escape", "space")
        await until(pilot, lambda: app.screen is screen and not screen.player.state.playing)
        app.run_job("Copy", fail)  # Nobody plays: it is shown at once.
        await until(pilot, lambda: isinstance(app.screen, ErrorDialog))

    drive_session(script, folder / "Night Drive.remix")


def test_what_is_rendered_is_what_is_heard(folder):
    async def script(app, pilot, screen):
        for stem in screen.stems:
            screen.player.set(f"{stem}.mute", 1)
        await until(pilot, lambda: all(s.muted for s in screen.player.mixer.strips.values()))
        await pilot.press("ctrl+r")
        await pilot.pause(0.2)
        app.screen.query_one("#out").value = "mix.wav"
        app.screen.query_one("#render").press()
        await until(pilot, (folder / "mix.wav").exists, 20)

    drive_session(script, folder / "Night Drive.remix")
    mix, _ = read_audio(folder / "mix.wav")
    assert abs(mix).max() == 0.0


def test_new_stems_wait_for_the_end_of_the_music(folder):
    async def script(app, pilot, screen):
        first = screen.player
        await pilot.press("space")
        await until(pilot, lambda: screen.player.state.playing)
        screen._use_new_stems()
        await pilot.pause(0.5)
        assert screen.player is first
        assert "New stems are ready" in screen._words
        await pilot.press("space")
        await until(pilot, lambda: screen.player not in {None, first})
        assert first._closed
        stood = first.state.position_s
        await until(pilot, lambda: abs(screen.player.state.position_s - stood) < 0.5)

    drive_session(script, folder / "Night Drive.remix")


def test_names_with_markup_are_only_names(folder):
    session = workstation.open(folder / "Night Drive.remix")
    with session.player(SILENT) as player:
        player.record("[red]solo[/] [/nonsense]")
        player.play()
        player.stop()
    assert session.takes.find("1").name == "[red]solo[/] [/nonsense]"

    async def script(app, pilot, screen):
        for key in ("e", "ctrl+r"):
            await pilot.press(key)
            await pilot.pause(0.3)
            app.screen.query_one("#take").value = "1"
            await until(pilot, lambda: "[red]solo[/] [/nonsense]" in text_of(app))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)

    drive_session(script, folder / "Night Drive.remix")


def test_a_home_of_nobody_is_a_plain_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_path("~nobody-of-this-name/x.wav").parts[0] == "~nobody-of-this-name"
    assert typed_path("~/x.wav") == tmp_path / "x.wav"


def test_a_player_is_closed_by_many_at_once(folder):
    session = workstation.open(folder / "Night Drive.remix")
    player = session.player(SILENT)
    player.set("bass.mute", 1)
    errors = []

    def close():
        try:
            player.close()
        except WorkstationError as error:
            errors.append(error)

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert not errors
    assert "bass" in workstation.open(folder / "Night Drive.remix").mixer_words
    with pytest.raises(WorkstationError):
        player.play()


def test_what_was_set_last_is_kept(folder):
    session = workstation.open(folder / "Night Drive.remix")
    for muted in (True, False, True, False, True):
        player = session.player(SILENT)
        player.set("bass.mute", muted)
        player.close()  # At once.
        kept = workstation.open(folder / "Night Drive.remix").mixer_words
        assert ("bass" in kept) == muted
