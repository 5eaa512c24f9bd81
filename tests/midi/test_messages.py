"""MIDI bytes: running status, real time within messages, SysEx, nonsense."""

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.midi.messages import Message, MidiParser, decode, encode, words


def test_running_status():
    assert MidiParser().feed(bytes([0x90, 60, 100, 62, 100, 60, 0])) == [
        bytes([0x90, 60, 100]),
        bytes([0x90, 62, 100]),
        bytes([0x90, 60, 0]),
    ]


def test_real_time_bytes_interrupt_nothing():
    messages = MidiParser().feed(bytes([0xB0, 0xF8, 7, 0xFE, 100, 0xF0, 1, 0xF8, 2, 0xF7]))
    assert messages == [
        b"\xf8", b"\xfe", bytes([0xB0, 7, 100]), b"\xf8", bytes([0xF0, 1, 2, 0xF7]),
    ]  # fmt: skip


def test_a_message_cut_short_and_lost_data_bytes_are_passed_over():
    parser = MidiParser()
    assert parser.feed(bytes([5, 6, 0xB0, 7, 0xC0, 3, 0xF4, 9])) == [bytes([0xC0, 3])]
    assert parser.skipped == 4
    assert parser.feed(bytes([0x80, 60, 64])) == [bytes([0x80, 60, 64])]


def test_a_sysex_without_end_does_not_grow_for_ever():
    parser = MidiParser()
    assert parser.feed(b"\xf0" + bytes(10000)) == []
    assert parser.feed(bytes([0xB0, 1, 2])) == [bytes([0xB0, 1, 2])]


@given(st.binary(max_size=300), st.integers(1, 7))
def test_any_bytes_in_any_pieces_give_whole_messages(data, step):
    parser, whole = MidiParser(), MidiParser()
    pieces = [m for k in range(0, len(data), step) for m in parser.feed(data[k : k + step])]
    assert pieces == whole.feed(data)
    for message in pieces:
        assert message[0] >= 0x80
        assert isinstance(words(message), str)
        if message[0] not in {0xF9, 0xFD}:  # Undefined real-time bytes: mido knows none.
            assert mido.Message.from_bytes(message).bytes() == list(message)


sevens = st.integers(0, 127)
messages = st.one_of(
    st.builds(
        mido.Message, st.just("note_on"), channel=st.integers(0, 15), note=st.integers(0, 127)
    ),
    st.builds(mido.Message, st.just("control_change"), control=st.integers(0, 127)),
    st.builds(mido.Message, st.just("pitchwheel"), pitch=st.integers(-8192, 8191)),
    st.builds(mido.Message, st.just("program_change"), program=st.integers(0, 127)),
)


@given(messages)
def test_messages_are_read_as_another_library_writes_them(message):
    read = decode(bytes(message.bytes()))
    assert read.channel == message.channel + 1
    if message.type == "pitchwheel":
        assert read.value == message.pitch + 8192
        assert encode("pitchbend", read.channel, 0, read.value) == [bytes(message.bytes())]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383])
def test_a_fourteen_bit_controller_is_a_pair(value):
    high, low = encode("cc14", 2, 7, value)
    assert decode(high) == Message("cc", 2, 7, value >> 7)
    assert decode(low) == Message("cc", 2, 39, value & 127)


def test_messages_in_words():
    assert words(bytes([0x90, 60, 100])) == "channel 1   note 60 (C4) on, velocity 100"
    assert words(bytes([0xB3, 7, 5])) == "channel 4   CC 7 = 5"
