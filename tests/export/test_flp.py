"""The event codec of FL Studio projects: byte for byte, and safe against any bytes."""

import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.export import flp as codec
from workstation.export.flp import Event, Flp, decode, encode, number, read_flp, text
from workstation.model import InputError

WIDTHS = {**dict.fromkeys(range(64), 1), **dict.fromkeys(range(64, 128), 2),
          **dict.fromkeys(range(128, 192), 4), 172: 3}  # fmt: skip


@st.composite
def events(draw):
    event_id = draw(st.integers(0, 255))
    if event_id in WIDTHS:
        width = WIDTHS[event_id]
        return Event(event_id, draw(st.binary(min_size=width, max_size=width)))
    data = draw(st.binary(max_size=300))
    needed = 1 if len(data) < 128 else 2
    return Event(event_id, data, draw(st.sampled_from([0, *range(needed + 1, 6)])))


def framed(body, *, size=6, ticks=96, magic=b"FLdt", length=None):
    head = b"FLhd" + struct.pack("<IhHH", size, 0, 3, ticks) + magic
    return head + struct.pack("<I", len(body) if length is None else length) + body


@given(
    st.lists(events(), max_size=40),
    st.integers(0, 0xFFFF),
    st.integers(1, 0xFFFF),
    st.integers(-0x8000, 0x7FFF),
)
def test_any_list_of_events_comes_back(items, channels, ticks, kind):
    flp = Flp(channels, ticks, tuple(items), kind)
    content = encode(flp)
    assert decode(content, "x.flp") == flp
    assert encode(decode(content, "x.flp")) == content


@given(st.binary(max_size=400))
def test_any_bytes_are_read_back_or_refused_in_words(body):
    try:
        flp = decode(framed(body), "x.flp")
    except InputError as error:
        words = error.problem
    else:
        assert encode(flp) == framed(body)
        return
    assert words.startswith("x.flp is a damaged FL Studio project: it ")


@settings(max_examples=300)
@given(st.lists(events(), min_size=1, max_size=20), st.data())
def test_a_bit_flip_or_a_cut_is_read_back_or_refused(items, data):
    whole = encode(Flp(1, 96, tuple(items)))
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for content in (bytes(broken), cut):
        try:
            flp = decode(content, "x.flp")
        except InputError:
            continue
        assert encode(flp) == content
    with pytest.raises(InputError):
        decode(cut, "x.flp")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an FL Studio project"),
        (b"RIFF" + bytes(40), "not an FL Studio project"),
        (b"PK\x03\x04" + bytes(40), "not an FL Studio project"),
        (b"FLhd", "ends within its header"),
        (framed(b"", size=7), "broken header"),
        (framed(b"", ticks=0), "broken header"),
        (framed(b"", magic=b"FLxx"), "broken header"),
        (framed(b"\x00\x00", length=3), "not as long"),
        (framed(b"\x00\x00", length=0xFFFFFFFF), "not as long"),
        (framed(b"\x40\x01"), "ends within an event"),
        (framed(b"\x9c\x01\x02\x03"), "ends within an event"),
        (framed(b"\xc0\xff\xff\xff\xff\x0f"), "ends within an event"),
        (framed(b"\xc0"), "without a length"),
        (framed(b"\xc0" + b"\xff" * 1000), "without a length"),
        (framed(b"\xc0" + b"\x80" * 5 + b"\x00"), "without a length"),
    ],
)
def test_what_is_no_project_is_refused_in_words(content, words):
    with pytest.raises(InputError) as caught:
        decode(content, "x.flp")
    assert words in caught.value.problem


def test_a_hostile_file_costs_neither_time_nor_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "MOST_EVENTS", 10_000)
    path = tmp_path / "many.flp"
    path.write_bytes(framed(bytes(4 << 20)))
    tracemalloc.start()
    before = time.monotonic()
    with pytest.raises(InputError, match="more than 10000 events"):
        read_flp(path)
    assert time.monotonic() - before < 5
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()


def test_a_file_beyond_all_measure_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "MOST_BYTES", 1 << 20)
    path = tmp_path / "large.flp"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than 1 MiB"):
        read_flp(path)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_flp(tmp_path)


def test_numbers_take_the_width_of_their_id():
    assert number(0, 1).data == b"\x01"
    assert number(67, 1).data == b"\x01\x00"
    assert number(147, -1).data == b"\xff\xff\xff\xff"
    assert number(172, 0x010203).data == b"\x03\x02\x01"
    assert number(156, 120_000).value == 120_000


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_is_utf_16_with_an_end(words):
    event = text(203, words)
    assert event.data == words.encode("utf-16-le") + b"\0\0"
    assert event.text == words


def test_lengths_are_as_short_as_they_can_be():
    lengths = {0: b"\x00", 127: b"\x7f", 128: b"\x80\x01", 16384: b"\x80\x80\x01"}
    for length, expected in lengths.items():
        content = encode(Flp(0, 96, (Event(225, bytes(length)),)))
        assert content[22:].startswith(b"\xe1" + expected)
