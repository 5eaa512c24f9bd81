"""The event stream of FL Studio: whatever it holds comes back byte for byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.export.flp import Event, Flp, decode_flp, read_flp, text, words_of
from workstation.model import InputError

SIZES = (1, 2, 4)


def fixed(number):
    size = SIZES[number // 64]
    return st.binary(min_size=size, max_size=size).map(lambda data: Event(number, data))


EVENTS = st.one_of(
    st.integers(0, 191).filter(lambda n: n != 172).flatmap(fixed),
    st.tuples(st.integers(192, 255).filter(lambda n: n != 199), st.binary(max_size=300)).map(
        lambda pair: Event(*pair)
    ),
)


@given(st.lists(EVENTS, max_size=40), st.integers(0, 999), st.sampled_from([96, 384, 960]))
def test_what_is_written_is_read_again(events, channels, ppq):
    flp = Flp(channels, ppq, tuple(events))
    assert decode_flp(flp.encode()) == flp


@given(st.lists(EVENTS, min_size=1, max_size=10), st.integers(0, 4))
def test_lengths_that_were_written_the_long_way_stay(events, extra):
    data = Flp(1, 96, tuple(events)).encode()
    # 0xC0, length 1 in more bytes than needed, one byte.
    odd = b"\xc0" + b"\x81" + b"\x80" * extra + b"\x00" + b"x" if extra < 4 else b"\xc0\x01x"
    body = data[22:] + odd
    whole = data[:18] + struct.pack("<I", len(body)) + body
    assert decode_flp(whole).encode() == whole


@given(st.lists(EVENTS, min_size=1, max_size=10), st.data())
def test_damaged_files_are_an_error_or_come_back_as_they_are(events, data):
    whole = bytearray(Flp(1, 96, tuple(events)).encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for damaged in (bytes(whole), cut):
        try:
            flp = decode_flp(damaged)
        except ValueError:
            continue
        assert flp.encode() == damaged


def test_the_event_that_lost_a_byte_in_a_later_version():
    for version, size in (("25.1.6.4997", 4), ("25.2.3.5171", 3)):
        flp = Flp(1, 96, (text(199, version), Event(172, bytes(size)), Event(9, b"\1")))
        assert decode_flp(flp.encode()) == flp
        assert words_of(flp.events[0]) == version


@pytest.mark.parametrize(
    "data",
    [b"", b"FLhd", b"RIFF" + bytes(40), b"FLhd" + bytes(18), bytes(100)],
)
def test_what_is_no_project_says_so_with_its_name(tmp_path, data):
    path = tmp_path / "my song.flp"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"my song\.flp is not a whole FL Studio project"):
        read_flp(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_flp(tmp_path / "gone.flp")
