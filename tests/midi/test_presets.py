"""The shipped mappings: each reads, says one thing per message, and is found by its port."""

import json
import re
from pathlib import Path

import pytest

from workstation.config import shipped_folder
from workstation.midi.mapping import mapping_for_port, mapping_text, read_mapping
from workstation.midi.surface import Surface
from workstation.model.controls import control_table

FOLDER = shipped_folder("presets")
FILES = sorted(FOLDER.glob("*.toml"))
MAPPINGS = [read_mapping(path) for path in FILES]
STEMS = ("drums", "bass", "other", "vocals")
by_id = pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: m.id)


@by_id
def test_no_message_means_two_things(mapping):
    seen = [(b.message, b.shift) for b in mapping.bindings]
    assert len(seen) == len(set(seen))
    notes = [(b.message.kind, b.message.channel, b.message.number, b.shift)
             for b in mapping.bindings]  # fmt: skip
    assert len(notes) == len(set(notes))
    pairs = {(b.message.channel, b.message.number + 32) for b in mapping.bindings
             if b.message.kind == "cc14"}  # fmt: skip
    plain = {(b.message.channel, b.message.number) for b in mapping.bindings
             if b.message.kind in {"cc", "relative"}}  # fmt: skip
    assert not pairs & plain


@by_id
def test_every_controller_rides_four_stems(mapping):
    targets = {b.to for b in mapping.bindings}
    for strip in range(1, 5):
        assert {f"strip{strip}.gain", f"strip{strip}.mute"} & targets, strip
    assert not mapping.verified  # Nobody has tried one on the hardware yet.
    assert mapping.source


@by_id
def test_layers_have_a_key_and_lights_have_a_note(mapping):
    if any(b.shift for b in mapping.bindings):
        assert any(b.to == "surface.shift" for b in mapping.bindings)
    for binding in mapping.bindings:
        if binding.led is not None:
            assert binding.led.message.kind in {"note", "cc"}


@by_id
def test_every_light_shows_what_it_means(mapping):
    """The light of a control is another one when the control is on."""
    table = control_table(STEMS)
    values = {name: spec.default for name, spec in table.items()}
    surface = Surface(mapping, table, STEMS, values.__getitem__)
    surface.opening()
    surface.feedback(lambda _: False)
    for binding in mapping.bindings:
        control = binding.to.replace("strip1.", "drums.")
        if binding.led is None or control not in table:
            continue
        before = values[control]
        values[control] = 1.0 if binding.value is None else binding.value
        assert surface.feedback(lambda _: False), binding.to
        values[control] = before
        surface.feedback(lambda _: False)


@by_id
def test_a_mapping_survives_its_text(mapping, tmp_path):
    path = tmp_path / f"{mapping.id}.toml"
    path.write_text(mapping_text(mapping), encoding="utf-8")
    assert read_mapping(path) == mapping


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("APC MINI:APC MINI MIDI 1", "akai_apc_mini"),
        ("APC mini mk2:APC mini mk2 APC mini mk2 Contr", "akai_apc_mini_mk2"),
        ("APC mini mk2 Control", "akai_apc_mini_mk2"),
        ("MIDI Mix:MIDI Mix MIDI 1", "akai_midimix"),
        ("Launchpad Mini:Launchpad Mini MIDI 1", "novation_launchpad_mini"),
        ("Launchpad Mini MK3:Launchpad Mini MK3 LPMiniMK3 MIDI", "novation_launchpad_mini_mk3"),
        ("Launchpad X:Launchpad X LPX MIDI In", "novation_launchpad_x"),
        ("Launch Control XL:Launch Control XL MIDI 1", "novation_launch_control_xl"),
        ("nanoKONTROL2:nanoKONTROL2 MIDI 1", "korg_nanokontrol2"),
        ("X-TOUCH MINI:X-TOUCH MINI MIDI 1", "behringer_xtouch_mini"),
        ("Launchpad Mini MK3 LPMiniMK3 MIDI Out", "novation_launchpad_mini_mk3"),
        ("LPX MIDI", "novation_launchpad_x"),
        ("BCF2000:BCF2000 MIDI 1", "behringer_bcf2000"),
        ("DDJ-FLX4:DDJ-FLX4 MIDI 1", "pioneer_ddj_flx4"),
        ("DDJ-400:DDJ-400 MIDI 1", "pioneer_ddj_400"),
        ("DJControl Inpulse 300:DJControl Inpulse 300 MIDI 1", "hercules_inpulse_200_300"),
        ("X-Touch:X-Touch X-Touch INT", None),
        ("Midi Through:Midi Through Port-0", None),
        ("Some Keyboard", None),
        ("APC mini mk2 Notes", None),
        ("Launchpad X:Launchpad X LPX DAW In", None),
        ("Arturia BeatStep Pro", None),
    ],
)
def test_a_port_finds_its_mapping(port, expected):
    found = mapping_for_port(port, MAPPINGS)
    assert (None if found is None else found.id) == expected


def test_only_mappings_for_any_device_wait_to_be_named():
    """`--controller` uses a mapping without ports for every controller."""
    nameless = {mapping.id for mapping in MAPPINGS if not mapping.ports}
    assert nameless == {"generic_8_faders", "mackie_control"}


def _surface(name):
    table = control_table(STEMS)
    values = {control: spec.default for control, spec in table.items()}
    surface = Surface(next(m for m in MAPPINGS if m.id == name), table, STEMS, values.__getitem__)
    surface.opening()
    return surface, values


@pytest.mark.parametrize("name", ["novation_launchpad_x", "novation_launchpad_mini_mk3"])
@pytest.mark.parametrize("muted", [0.0, 1.0])
def test_a_waiting_launchpad_pad_pulses_in_the_colour_of_its_stem(name, muted):
    """Channel 3 pulses; channel 2 would flash between the colour and the same colour."""
    surface, values = _surface(name)
    values["drums.mute"] = muted
    surface.feedback(lambda _: False)
    assert surface.feedback(lambda control: control == "drums.mute") == [bytes([0x92, 81, 5])]


@pytest.mark.parametrize(
    ("program", "control"), [(1, "drums.mute"), (9, "drums.solo"), (17, "drums.others")]
)
def test_the_first_buttons_of_a_bcf2000_are_those_of_the_first_stem(program, control):
    surface, _ = _surface("behringer_bcf2000")
    assert [change.control for change in surface.receive(bytes([0xCA, program]))] == [control]


def test_the_readme_lists_every_mapping():
    listed = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.stem for path in FILES]


def test_the_example_of_the_readme_is_a_mapping(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    (tmp_path / "box.toml").write_text(example)
    assert len(read_mapping(tmp_path / "box.toml").bindings) == 9


def test_every_controller_with_known_facts_has_a_mapping():
    facts = Path(__file__).resolve().parents[3] / "shared" / "controllers.json"
    if not facts.is_file():
        pytest.skip("the collection of controller facts is not beside the project")
    known = {c["id"] for c in json.loads(facts.read_text())["controllers"]}
    without_midi = {"ni_traktor_kontrol_f1"}
    assert known - without_midi <= {path.stem for path in FILES} | {"mackie_control"}
