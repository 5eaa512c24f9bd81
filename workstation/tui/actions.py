"""The one table of what a user can do: keys, footer, palette, help and tests read it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from textual.binding import Binding

Op = Literal["set", "toggle", "move"]


class Action(NamedTuple):
    """Something a user can do on a screen.

    Attributes:
        id: Its name; a screen that has no control for it has a method `do_<id>`.
        keys: Keys for it, as Textual calls them, separated by commas.
        label: A word or two, for the footer.
        help: A sentence.
        group: The heading it stands under in the help.
        control: The control that it changes; `{stem}` is the selected stem.
        op: How the control is changed.
        value: To or by what.
        footer: It is shown in the footer.
        shown_keys: How people read the keys, where that is not plain.
        everywhere: It works in dialogs, too.
    """

    id: str
    keys: str
    label: str
    help: str
    group: str
    control: str = ""
    op: Op = "set"
    value: float = 1.0
    footer: bool = False
    shown_keys: str = ""
    everywhere: bool = False

    def binding(self) -> Binding:
        """The key binding of a screen for it."""
        return Binding(
            self.keys,
            f"do('{self.id}')",
            self.label,
            show=self.footer,
            id=self.id,
            tooltip=self.help,
            key_display=self.shown_keys or None,
            priority=self.everywhere,
        )


_SHIFTED = (
    "exclamation_mark", "at", "number_sign", "dollar_sign", "percent_sign",
    "circumflex_accent", "ampersand", "asterisk", "left_parenthesis",
)  # fmt: skip


def _numbered() -> list[Action]:
    """Mutes and solos of the first nine stems, and the snapshots."""
    mixer, pads = "Mixer", "Snapshots"
    rows = []
    for n in range(1, 10):
        rows.append(Action(f"mute{n}", str(n), f"Mute {n}", f"Mute stem {n}.", mixer))
        rows.append(
            Action(
                f"solo{n}",
                _SHIFTED[n - 1],
                f"Solo {n}",
                f"Solo stem {n}.",
                mixer,
                shown_keys=f"shift+{n}",
            )
        )
    for n in range(1, 9):
        rows.append(
            Action(
                f"recall{n}",
                f"f{n}",
                f"Recall {n}",
                f"Set the mixer as snapshot {n} has it.",
                pads,
                f"snapshot{n}.recall",
            )
        )
        rows.append(
            Action(
                f"store{n}",
                f"shift+f{n}",
                f"Store {n}",
                f"Keep the mixer as snapshot {n}.",
                pads,
                f"snapshot{n}.store",
            )
        )
    return rows


SESSION_ACTIONS: tuple[Action, ...] = (
    Action("play", "space", "Play", "Play or pause.", "Transport",
           "transport.play", "toggle", footer=True),
    Action("stop", "0,home", "To start", "Stop, and go to the start.", "Transport",
           "transport.stop"),
    Action("back", "left", "Bar back", "Go one bar back.", "Transport", "transport.back",
           shown_keys="←"),
    Action("forward", "right", "Bar on", "Go one bar forward.", "Transport",
           "transport.forward", shown_keys="→"),
    Action("loop", "l", "Loop", "Loop four beats from here, or stop looping.", "Transport",
           "loop.on", "toggle", footer=True),
    Action("loop_in", "i", "Loop in", "Let the loop start here.", "Transport", "loop.in"),
    Action("loop_out", "o", "Loop out", "Let the loop end here.", "Transport", "loop.out"),
    Action("loop_halve", "left_square_bracket", "Half loop", "Halve the loop.", "Transport",
           "loop.halve", shown_keys="["),
    Action("loop_double", "right_square_bracket", "Double loop", "Double the loop.", "Transport",
           "loop.double", shown_keys="]"),
    Action("click", "c", "Click", "Hear the beat grid.", "Transport", "click.on", "toggle"),
    Action("quantize", "q", "Quantise", "Let mutes and solos wait: off, beat, bar, 4 bars.",
           "Transport"),
    Action("count_in", "n", "Count-in", "Count in: none, one or two bars.", "Transport"),
    Action("record", "r", "Rec", "Record a take, or end it.", "Transport",
           "transport.record", "toggle", footer=True),
    Action("up", "up,k", "Up", "Select the stem above.", "Mixer", shown_keys="↑"),
    Action("down", "down,j", "Down", "Select the stem below.", "Mixer", shown_keys="↓"),
    Action("mute", "m", "Mute", "Mute the selected stem.", "Mixer", "{stem}.mute", "toggle",
           footer=True),
    Action("solo", "s", "Solo", "Solo the selected stem; several can be.", "Mixer",
           "{stem}.solo", "toggle", footer=True),
    Action("alone", "a", "Alone", "Mute all but the selected stem.", "Mixer",
           "{stem}.others", "toggle"),
    Action("unmute", "u", "Unmute all", "Take all mutes and solos away.", "Mixer"),
    Action("gain_up", "plus,equals_sign", "Gain up", "Selected stem 1 dB louder.", "Mixer",
           shown_keys="+"),
    Action("gain_down", "minus", "Gain down", "Selected stem 1 dB softer.", "Mixer",
           shown_keys="-"),
    Action("pan_left", "less_than_sign", "Pan left", "Move the selected stem to the left.",
           "Mixer", shown_keys="<"),
    Action("pan_right", "greater_than_sign", "Pan right", "Move the selected stem to the right.",
           "Mixer", shown_keys=">"),
    Action("filter_down", "left_curly_bracket", "Filter low", "Towards low-pass.", "Mixer",
           shown_keys="{"),
    Action("filter_up", "right_curly_bracket", "Filter high", "Towards high-pass.", "Mixer",
           shown_keys="}"),
    Action("fade_out", "f", "Fade out", "Fade the selected stem out over four bars.", "Mixer",
           "{stem}.fade_out", value=4.0),
    Action("fade_in", "F", "Fade in", "Fade the selected stem in over four bars.", "Mixer",
           "{stem}.fade_in", value=4.0, shown_keys="shift+f"),
    Action("stutter", "v", "Stutter", "Repeat a sixteenth of the selected stem; again ends it.",
           "Mixer", "{stem}.stutter", "toggle", 16.0),
    Action("reset", "backspace", "Reset", "Selected stem to 0 dB, centre, no filter.", "Mixer",
           shown_keys="⌫"),
    Action("master_up", "ctrl+up", "Master up", "Master 1 dB louder.", "Mixer"),
    Action("master_down", "ctrl+down", "Master down", "Master 1 dB softer.", "Mixer"),
    *_numbered(),
    Action("zoom_in", "z", "Zoom in", "See less of the song, larger.", "View"),
    Action("zoom_out", "Z", "Zoom out", "See more of the song.", "View", shown_keys="shift+z"),
    Action("whole", "w", "Whole song", "See the whole song.", "View"),
    Action("scroll_left", "comma", "Scroll left", "See what is before.", "View", shown_keys=","),
    Action("scroll_right", "full_stop", "Scroll right", "See what comes.", "View",
           shown_keys="."),
    Action("follow", "y", "Follow", "Let the view follow the song, or stay.", "View"),
    Action("takes", "t", "Takes", "List takes: play back, play over, rename, delete.", "Screens",
           footer=True),
    Action("export", "e", "Export", "Make a DAW project, with a take if you like.", "Screens",
           footer=True),
    Action("grid", "g", "Grid", "Correct beats, bars and tempo.", "Screens", footer=True),
    Action("midi", "d", "MIDI", "Devices, monitor, mappings, learning.", "Screens", footer=True),
    Action("separate", "x", "Separate", "Separate again with another engine.", "Screens"),
    Action("render", "ctrl+r", "Render", "Mix what is heard, or a take, to a file.", "Screens"),
    Action("home", "h", "Home", "Back to the list of sessions.", "Screens",
           shown_keys="h"),
)  # fmt: skip

HOME_ACTIONS: tuple[Action, ...] = (
    Action("open", "o", "Open", "Open a song, a folder of stems or a session.", "Home",
           footer=True),
    Action("demo", "d", "Demo song", "Make the demo song and open it.", "Home", footer=True),
    Action("search", "slash", "Search", "Search the sessions.", "Home", footer=True,
           shown_keys="/"),
    Action("forget", "delete", "Forget", "Take the session off this list; its files stay.",
           "Home"),
)  # fmt: skip

APP_ACTIONS: tuple[Action, ...] = (
    Action("jobs", "b", "Jobs", "What runs in the background.", "Everywhere"),
    Action("settings", "ctrl+s", "Settings", "Engine, weights, network, theme.", "Everywhere"),
    Action("theme", "ctrl+t", "Theme", "Dark or light.", "Everywhere"),
    Action("help", "question_mark,f10", "Help", "All keys of this screen.", "Everywhere",
           footer=True, shown_keys="?"),
    Action("quit", "ctrl+q", "Quit", "Leave; asks if work is under way.", "Everywhere",
           everywhere=True),
)  # fmt: skip
