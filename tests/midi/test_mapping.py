"""Mapping files: rows that stand for many knobs, mistakes in words, a way back to text."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.midi.mapping import find_mapping, mapping_for_port, mapping_text, read_mapping
from workstation.midi.ports import output_of, stable_name
from workstation.model import InputError, UsageError
from workstation.model.controls import mapping_targets
from workstation.model.midi_mapping import Binding, Echo, Led, MessageSpec, MidiMapping


def write(folder, text):
    path = folder / "box.toml"
    path.write_text('name = "Box"\nports = ["BOX"]\n' + text, encoding="utf-8")
    return path


def test_a_row_stands_for_its_knobs(tmp_path):
    mapping = read_mapping(
        write(
            tmp_path,
            """
[[bind]]
message = "cc"
channel = 3
numbers = [10, 11]
to = "strip#.gain"

[[bind]]
message = "pitchbend"
channels = [1, 2]
to = "strip#.pan"
echo = {}

[[bind]]
message = "note"
numbers = [1, 2]
to = "strip#.mute"
led = { on = 5, numbers = [11, 12] }
""",
        )
    )
    assert [(b.to, b.message.channel, b.message.number) for b in mapping.bindings] == [
        ("strip1.gain", 3, 10), ("strip2.gain", 3, 11), ("strip1.pan", 1, 0), ("strip2.pan", 2, 0),
        ("strip1.mute", 1, 1), ("strip2.mute", 1, 2),
    ]  # fmt: skip
    assert mapping.bindings[3].echo.message == MessageSpec("pitchbend", 2)
    assert mapping.bindings[5].led == Led(MessageSpec("note", 1, 12), on=5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[bind]]\nmessage = 'cc'\nto = 'strip1.gian'", 'did you mean "strip1.gain"'),
        ("[[bind]]\nmessage = 'cc'\nnumbers = [1, 2]\nto = 'strip1.gain'", "has no #"),
        ("[[bind]]\nmessage = 'cc'\nnumber = 128\nto = 'strip1.gain'", "127"),
        ("[[bind]]\nmessage = 'cc'\nchannel = 0\nto = 'strip1.gain'", "1"),
        ("[[bind]]\nmessage = 'nrpn'\nto = 'strip1.gain'", "nrpn"),
        ("[[bind]]\nmesage = 'cc'\nto = 'strip1.gain'", "mesage"),
        ("[[bind]]\nto = 'strip1.gain'", "which message"),
        ("colour = 3", "colour"),
        ("bind = 3 3", "not TOML"),
        ("init = ['F0 zz']", "mistake"),
    ],
)
def test_a_mistake_is_told_with_the_file(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read_mapping(write(tmp_path, text))
    assert "box.toml" in error.value.problem
    assert words in error.value.problem


def test_a_mapping_of_the_users_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", str(tmp_path))
    (tmp_path / "presets").mkdir()
    write(tmp_path / "presets", "")
    assert find_mapping("box").name == "Box"
    with pytest.raises(UsageError) as error:
        find_mapping("bax")
    assert '"box"' in error.value.remedy


def test_the_longest_name_that_fits_a_port_wins():
    old = MidiMapping("a", "A", ("APC MINI",), ())
    new = MidiMapping("b", "B", ("APC mini mk2",), ())
    assert mapping_for_port("APC mini mk2 Control", [old, new]) == new
    assert mapping_for_port("system:APC MINI MIDI 1", [old, new]) == old
    assert mapping_for_port("nanoKONTROL2", [old, new]) is None


def test_ports_are_known_again_and_find_their_outputs():
    assert stable_name("APC MINI:APC MINI MIDI 1 20:0") == "APC MINI:APC MINI MIDI 1"
    outputs = ("Box:Box MIDI 1 24:0", "APC MINI:APC MINI MIDI 1 28:0")
    assert output_of("APC MINI:APC MINI MIDI 1 20:0", outputs) == outputs[1]
    assert output_of("pad:to host", ("pad:from host",)) == "pad:from host"
    jack = ("system:midi_playback_1", "system:midi_playback_2")
    assert output_of("system:midi_capture_2", jack) == jack[1]
    assert output_of("other:x", outputs) is None
    twins = ("Box:Box MIDI 1 24:0", "Box:Box MIDI 1 28:0")
    assert [output_of("Box:Box MIDI 1 20:0", twins, n) for n in (0, 1)] == list(twins)


sevens = st.integers(0, 127)
specs = st.one_of(
    st.builds(MessageSpec, st.sampled_from(["note", "cc", "cc14", "program"]),
              st.integers(1, 16), sevens),
    st.builds(MessageSpec, st.just("pitchbend"), st.integers(1, 16)),
    st.builds(MessageSpec, st.just("relative"), st.integers(1, 16), sevens,
              st.sampled_from(["twos", "sign", "offset"])),
)  # fmt: skip
lights = st.builds(
    Led,
    st.builds(MessageSpec, st.sampled_from(["note", "cc"]), st.integers(1, 16), sevens),
    sevens, sevens, st.none() | sevens, st.none() | st.integers(1, 16), st.booleans(),
    st.dictionaries(st.text(max_size=8), sevens, max_size=3),
)  # fmt: skip
echoes = st.builds(
    Echo,
    st.builds(MessageSpec, st.sampled_from(["cc", "pitchbend"]), st.integers(1, 16)),
    sevens, sevens,
)  # fmt: skip
bindings = st.builds(
    Binding,
    specs,
    st.sampled_from(sorted(mapping_targets())),
    st.sampled_from([None, "toggle", "hold", "set"]),
    st.none() | st.floats(-100, 100),
    st.sampled_from([None, "jump", "pickup", "scale"]),
    st.booleans(),
    st.booleans(),
    st.none() | lights,
    st.none() | echoes,
)
mappings = st.builds(
    MidiMapping,
    st.just("box"),
    st.text(max_size=20),
    st.lists(st.text(max_size=10), max_size=3).map(tuple),
    st.lists(bindings, max_size=6).map(tuple),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(["jump", "pickup", "scale"]),
    st.lists(st.binary(min_size=1, max_size=8), max_size=2).map(tuple),
    st.lists(st.binary(min_size=1, max_size=8), max_size=2).map(tuple),
    st.sampled_from([None, "mackie"]),
    st.lists(st.text(max_size=10), max_size=2).map(tuple),
)


@given(mappings)
def test_a_mapping_survives_its_text(tmp_path_factory, mapping):
    path = tmp_path_factory.mktemp("mapping") / "box.toml"
    path.write_text(mapping_text(mapping), encoding="utf-8", newline="")
    assert read_mapping(path) == msgspec.structs.replace(mapping, id="box")


def test_brackets_without_end_are_told(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(InputError):
        read_mapping(path)
