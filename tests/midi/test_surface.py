"""A controller in use: every kind of message, soft takeover, banks, layers, lights, motors."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.midi.messages import encode
from workstation.midi.surface import Surface, relative_step
from workstation.midi.takeover import SoftTakeover
from workstation.model.controls import control_table
from workstation.model.midi_mapping import Binding, Echo, Led, MessageSpec, MidiMapping

STEMS = tuple(f"stem {n}" for n in range(1, 13))


class Desk:
    """A surface and the values it moves."""

    def __init__(self, *bindings, stems=STEMS, **mapping):
        self.table = control_table(stems)
        self.values = {name: spec.default for name, spec in self.table.items()}
        self.now = 0.0
        made = MidiMapping("x", "X", (), bindings, **{"takeover": "jump", **mapping})
        self.surface = Surface(made, self.table, stems, self.values.get, lambda: self.now)

    def send(self, kind, number, value, channel=1):
        self.now += 1.0
        changes = []
        for data in encode(kind, channel, number, value):
            changes += self.surface.receive(data)
        for change in changes:
            spec = self.table[change.control]
            if change.op == "toggle":
                self.values[spec.id] = 0.0 if self.values[spec.id] else change.value
            elif change.op == "move":
                at = spec.position_of(self.values[spec.id])
                self.values[spec.id] = spec.value_at(at + change.value)
            else:
                self.values[spec.id] = change.value
        return changes

    def lights(self, waiting=()):
        return self.surface.feedback(lambda control: control in waiting)


def note(number=1, **options):
    return Binding(MessageSpec("note", 1, number), **options)


def test_a_fader_moves_a_gain_along_its_taper():
    desk = Desk(Binding(MessageSpec("cc", 1, 7), "strip1.gain"))
    desk.send("cc", 7, 127)
    assert desk.values["stem 1.gain"] == 10
    desk.send("cc", 7, 0)
    assert desk.values["stem 1.gain"] == -90


def test_pitch_bend_and_pairs_of_controllers_have_fourteen_bits():
    desk = Desk(
        Binding(MessageSpec("pitchbend", 2), "strip1.pan"),
        Binding(MessageSpec("cc14", 1, 5), "strip2.pan"),
    )
    desk.send("pitchbend", 0, 8191, channel=2)
    assert abs(desk.values["stem 1.pan"]) < 2e-4
    desk.send("cc14", 5, 12345)
    desk.send("cc14", 5, 4096)
    assert desk.values["stem 2.pan"] == pytest.approx(4096 / 16383 * 2 - 1)


@pytest.mark.parametrize(
    ("encoding", "up", "down"), [("twos", 3, 125), ("sign", 3, 67), ("offset", 67, 61)]
)
def test_endless_encoders_of_every_kind(encoding, up, down):
    assert (relative_step(encoding, up), relative_step(encoding, down)) == (3, -3)
    desk = Desk(Binding(MessageSpec("relative", 1, 16, encoding), "strip1.pan"))
    desk.send("cc", 16, up)
    assert desk.values["stem 1.pan"] == pytest.approx(6 / 127)
    desk.send("cc", 16, down)
    assert desk.values["stem 1.pan"] == pytest.approx(0)


def test_pads_toggle_hold_and_set():
    desk = Desk(
        note(1, to="strip1.mute"),
        note(2, to="strip2.mute", mode="hold"),
        note(3, to="strip3.stutter", mode="hold", value=16.0),
        note(4, to="loop.beats", value=4.0),
        note(5, to="transport.stop"),
    )
    desk.send("note", 1, 100)
    assert desk.send("note", 1, 0) == []
    assert desk.values["stem 1.mute"] == 1
    desk.send("note", 1, 100)
    assert desk.values["stem 1.mute"] == 0
    desk.send("note", 2, 1)
    assert desk.values["stem 2.mute"] == 1
    desk.send("note", 2, 0)
    assert desk.values["stem 2.mute"] == 0
    desk.send("note", 3, 90)
    assert desk.values["stem 3.stutter"] == 16
    desk.send("note", 3, 0)
    assert desk.values["stem 3.stutter"] == 0
    assert [c.value for c in desk.send("note", 4, 90)] == [4.0]
    assert [c.control for c in desk.send("note", 5, 90)] == ["transport.stop"]


def test_program_changes_recall_snapshots():
    desk = Desk(Binding(MessageSpec("program", 1, 3), "snapshot4.recall"))
    assert [c.control for c in desk.send("program", 3, 0)] == ["snapshot4.recall"]


def test_banks_move_the_strips_and_stop_at_the_ends():
    desk = Desk(
        note(1, to="strip1.mute"), note(8, to="bank.next"), note(9, to="bank.previous"),
        note(10, to="bank.right"), note(2, to="strip8.mute"),
    )  # fmt: skip
    for pad, control in ((8, "stem 9.mute"), (8, "stem 9.mute"), (10, "stem 10.mute")):
        desk.send("note", pad, 1)
        assert [c.control for c in desk.send("note", 1, 1)] == [control]
    assert desk.send("note", 2, 1) == []  # There is no seventeenth stem.
    desk.send("note", 9, 1)
    desk.send("note", 9, 1)
    assert [c.control for c in desk.send("note", 1, 1)] == ["stem 1.mute"]


def test_a_pad_that_is_held_over_a_change_of_bank_lets_go_of_what_it_held():
    desk = Desk(note(1, to="strip1.mute", mode="hold"), note(8, to="bank.next"))
    desk.send("note", 1, 1)
    desk.send("note", 8, 1)
    assert [(c.control, c.value) for c in desk.send("note", 1, 0)] == [("stem 1.mute", 0.0)]


def test_shift_reaches_the_second_layer():
    desk = Desk(
        note(9, to="surface.shift"), note(1, to="strip1.mute"),
        note(1, to="strip1.solo", shift=True), note(2, to="strip2.mute"),
    )  # fmt: skip
    desk.send("note", 9, 1)
    assert [c.control for c in desk.send("note", 1, 1)] == ["stem 1.solo"]
    assert [c.control for c in desk.send("note", 2, 1)] == ["stem 2.mute"]
    desk.send("note", 9, 0)
    assert [c.control for c in desk.send("note", 1, 1)] == ["stem 1.mute"]


def test_pickup_waits_for_the_fader_and_again_after_another_hand():
    desk = Desk(Binding(MessageSpec("cc", 1, 7), "strip1.gain"), takeover="pickup")
    assert desk.send("cc", 7, 10) == []
    assert desk.surface.waiting_knobs()["stem 1.gain"] == (10 / 127, 0.75)
    assert desk.send("cc", 7, 60) == []
    assert desk.send("cc", 7, 100)  # It has passed 0 dB.
    assert desk.send("cc", 7, 90)
    desk.values["stem 1.gain"] = -30.0  # A mouse has moved it.
    assert desk.send("cc", 7, 91) == []
    assert desk.send("cc", 7, 20)


def test_scale_brings_both_to_the_end_together():
    takeover = SoftTakeover("scale")
    assert takeover.move(0.2, 0.6) is None
    assert takeover.move(0.6, 0.6) == 0.6 or takeover.engaged
    takeover = SoftTakeover("scale")
    takeover.move(0.5, 0.8)
    assert takeover.move(0.75, 0.8) == pytest.approx(0.9)
    assert takeover.move(1.0, 0.9) == pytest.approx(1.0)


@given(
    st.sampled_from(["jump", "pickup", "scale"]),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
)
def test_a_control_never_leaves_its_range_and_an_engaged_knob_is_where_it_is(mode, value, moves):
    takeover = SoftTakeover(mode)
    for position in moves:
        target = takeover.move(position, value)
        if target is not None:
            assert -1e-9 <= target <= 1 + 1e-9
            value = min(max(target, 0.0), 1.0)
        if takeover.engaged:
            assert value == position


def test_lights_follow_the_state_and_are_sent_once():
    led = Led(MessageSpec("note", 1, 1), off=0, on=3, pending=4)
    desk = Desk(note(1, to="strip1.mute", led=led))
    assert desk.lights() == [bytes([0x90, 1, 0])]
    assert desk.lights() == []
    desk.values["stem 1.mute"] = 1.0
    assert desk.lights(waiting={"stem 1.mute"}) == [bytes([0x90, 1, 4])]
    assert desk.lights() == [bytes([0x90, 1, 3])]
    desk.surface.opening()
    assert desk.lights() == [bytes([0x90, 1, 3])]  # After it was pulled: all again.


def test_colours_by_stem_and_lights_of_what_is_heard():
    led = Led(MessageSpec("note", 1, 1), on=9, invert=True, by_stem={"stem 9": 45})
    desk = Desk(note(1, to="strip1.mute", led=led), note(8, to="bank.next"))
    assert desk.lights() == [bytes([0x90, 1, 9])]
    desk.send("note", 8, 1)
    assert desk.lights() == [bytes([0x90, 1, 45])]


def test_a_part_has_the_colour_of_its_whole_and_answers_to_its_name():
    led = Led(MessageSpec("note", 1, 1), on=9, invert=True, by_stem={"vocals": 45, "drums": 5})
    stems = ("lead_vocals", "kick", "snare")
    pads = [note(n, to=f"strip{n}.mute", led=msgspec.structs.replace(
        led, message=MessageSpec("note", 1, n))) for n in (1, 2, 3)]  # fmt: skip
    desk = Desk(*pads, note(8, to="vocals.mute"), note(9, to="drums.mute"), stems=stems)
    assert desk.lights() == [bytes([0x90, n, v]) for n, v in ((1, 45), (2, 5), (3, 5))]
    assert [change.control for change in desk.send("note", 8, 127)] == ["lead_vocals.mute"]
    assert desk.send("note", 9, 127) == []  # Two stems are drums: it is not said which.


def test_a_pad_for_one_value_is_lit_while_it_is_that():
    led = Led(MessageSpec("note", 1, 1))
    desk = Desk(note(1, to="quantize.grid", value=2.0, led=led))
    desk.lights()
    desk.values["quantize.grid"] = 2.0
    assert desk.lights() == [bytes([0x90, 1, 127])]


def test_motors_follow_but_not_under_a_hand():
    fader = MessageSpec("pitchbend", 1)
    desk = Desk(Binding(fader, "strip1.gain", echo=Echo(fader)))
    assert desk.lights() == encode("pitchbend", 1, 0, round(0.75 * 16383))
    desk.send("pitchbend", 0, 1000)
    assert desk.lights() == []
    desk.now += 1.0
    assert desk.lights() == encode("pitchbend", 1, 0, 1000)


def test_a_ring_shows_steps_of_its_own():
    ring = Echo(MessageSpec("cc", 1, 48), low=1, high=11)
    desk = Desk(Binding(MessageSpec("relative", 1, 16, "sign"), "strip1.pan", echo=ring))
    assert desk.lights() == [bytes([0xB0, 48, 6])]


def test_a_mackie_display_shows_names_gains_and_levels():
    desk = Desk(display="mackie")
    desk.values["stem 2.gain"] = -6.0
    shown = desk.surface.feedback(lambda _: False, [-3.0] * 12)
    names, gains = shown[0], shown[1]
    assert names[:7].hex() == "f0000066141200"
    assert names[7:-1].decode() == "".join(f"stem {n} " for n in range(1, 9))
    assert gains[7 : 7 + 14].decode() == "0.0    -6.0   "
    assert [m[0] for m in shown[2:]] == [0xD0] * 8
    assert shown[2][1] == 11


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=30))
def test_nonsense_moves_nothing_that_is_not_mapped(data):
    from workstation.midi.messages import MidiParser

    desk = Desk(Binding(MessageSpec("cc", 1, 7), "strip1.gain"))
    parser = MidiParser()
    for piece in data:
        for message in parser.feed(piece):
            for change in desk.surface.receive(message):
                assert change.control == "stem 1.gain"
                assert -90 <= change.value <= 10
