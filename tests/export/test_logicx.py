"""The record codec of Logic's projects: byte for byte, and safe against any bytes."""

import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.export import logicx as codec
from workstation.export.logicx import (
    END_MARK,
    ProjectData,
    Record,
    decode,
    encode,
    events_of,
    read_project_data,
    with_events,
)
from workstation.model import InputError

REAL = Path(__file__).parents[3] / "shared" / "data" / "daw" / "logic"
PROJECTS = sorted(REAL.rglob("ProjectData")) if REAL.is_dir() else []
HEAD = bytes.fromhex("2347c0ab cf09 0300 04000000 0100 0800 00000000 00000000")


def record(tag=b"qSvE", payload=b"", kind=3, index=0):
    head = tag + struct.pack("<HHI", 1, kind, index) + bytes(16)
    return Record(head + struct.pack("<II", len(payload), 0), payload)


def framed(*records, length=None):
    body = b"".join(r.head + r.payload for r in records)
    return HEAD[:16] + struct.pack("<II", len(body) if length is None else length, 0) + body


records = st.builds(
    record, st.binary(min_size=4, max_size=4), st.binary(max_size=200),
    st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF),
)  # fmt: skip


@pytest.mark.skipif(not PROJECTS, reason="no projects of Logic here")
def test_projects_that_logic_saved_come_back_byte_for_byte():
    assert len({path.parents[2] for path in PROJECTS}) >= 4
    for path in PROJECTS:
        data = read_project_data(path, "x.logicx")
        assert encode(data) == path.read_bytes()
        assert data.records[0].tag == "Song"
        sequences = [r for r in data.records if r.tag == "EvSq"]
        assert len(sequences) > 10
        for sequence in sequences:
            assert with_events(sequence, events_of(sequence, "x")) == sequence


@given(st.lists(records, max_size=20))
def test_any_list_of_records_comes_back(items):
    content = framed(*items)
    data = decode(content, "x.logicx")
    assert data.records == tuple(items)
    assert encode(data) == content
    assert [(r.tag, r.kind, r.index) for r in data.records] == [
        (r.head[:4][::-1].decode("latin-1"), *struct.unpack("<HI", r.head[6:12])) for r in items
    ]


@settings(max_examples=200)
@given(st.lists(records, min_size=1, max_size=10), st.data())
def test_a_bit_flip_or_a_cut_is_read_back_or_refused(items, data):
    whole = framed(*items)
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = decode(bytes(broken), "x.logicx")
    except InputError as error:
        words = error.problem
    else:
        assert encode(read) == bytes(broken)
        words = "x.logicx is "
    assert words.startswith("x.logicx is ")
    with pytest.raises(InputError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], "x.logicx")


@given(st.binary(max_size=200))
def test_any_bytes_after_the_head_are_read_back_or_refused(body):
    content = HEAD[:16] + struct.pack("<II", len(body), 0) + body
    try:
        read = decode(content, "x.logicx")
    except InputError as error:
        words = error.problem
    else:
        assert encode(read) == content
        return
    assert "ends within a record" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a project of Logic"),
        (b"FLhd" + bytes(40), "not a project of Logic"),
        (HEAD[:8], "ends within its head"),
        (framed(record(), length=3), "not as long"),
        (framed(record(), length=0xFFFFFFFF), "not as long"),
        (framed(Record(record().head[:28] + b"\xff" * 8, b"")), "ends within a record"),
        (framed(Record(record().head[:30], b"")), "ends within a record"),
    ],
)
def test_what_is_no_project_is_refused_in_words(content, words):
    with pytest.raises(InputError) as caught:
        decode(content, "x.logicx")
    assert words in caught.value.problem


def test_a_hostile_file_costs_no_time(tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "MOST_RECORDS", 10_000)
    path = tmp_path / "ProjectData"
    path.write_bytes(framed(*[record()] * 20_000))
    before = time.monotonic()
    with pytest.raises(InputError, match="more than 10000 records"):
        read_project_data(path, "x.logicx")
    assert time.monotonic() - before < 5
    monkeypatch.setattr(codec, "MOST_BYTES", 1 << 20)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than 1 MiB"):
        read_project_data(path, "x.logicx")
    with pytest.raises(InputError, match="cannot be read"):
        read_project_data(tmp_path / "none", "x.logicx")


@given(st.lists(st.tuples(st.integers(0, 0x3FFFFFFF), st.integers(0, 4)), max_size=12))
def test_events_are_told_apart_by_their_units(shapes):
    events = [
        struct.pack("<IIII", 0x24, position, 0, 0)
        + bytes.fromhex("00000000 00000089" + "00" * 8) * n
        for position, n in shapes
    ]
    sequence = with_events(record(), events)
    assert sequence.payload.endswith(END_MARK)
    assert events_of(sequence, "x") == events


@pytest.mark.parametrize("payload", [b"", bytes(16), bytes(15) + END_MARK, b"\x88" * 16 + END_MARK])
def test_a_sequence_that_is_none_is_refused(payload):
    with pytest.raises(InputError):
        events_of(record(payload=payload), "x.logicx")
    assert decode(framed(record(payload=payload)), "x") == ProjectData(
        framed(record(payload=payload))[:24], (record(payload=payload),)
    )
