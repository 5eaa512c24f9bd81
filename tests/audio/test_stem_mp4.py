"""Stem files name their stems; other files, and broken ones, have none."""

import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audio.encode import add_stem_box, encode, noise, stem_file
from workstation.audio import StemTrack, stem_tracks
from workstation.model import InputError


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = encode(tmp_path_factory.mktemp("mp4") / "a.m4a", [noise(2000)] * 5, 44100, "alac")
    return path.read_bytes()


def with_box(tmp_path, plain, text: bytes):
    path = tmp_path / "a.stem.mp4"
    path.write_bytes(plain)
    add_stem_box(path, text)
    return path


def test_a_stem_file_lists_names_colours_and_streams(tmp_path):
    path = stem_file(
        tmp_path / "a.stem.mp4", noise(2000),
        {name: noise(2000) for name in ("Drums", "Bass", "Sýnth", "Vox")}, 44100,
    )  # fmt: skip
    assert stem_tracks(path) == [
        StemTrack("Drums", "#e95a5a", 1),
        StemTrack("Bass", "#e9a23b", 2),
        StemTrack("Sýnth", "#4fb286", 3),
        StemTrack("Vox", "#5a8de9", 4),
    ]


def test_odd_names_and_colours_become_usable(tmp_path, plain):
    stems = [{"name": " \x1b[31mA\n", "color": "red"}, {"name": 7}, {"name": "x" * 500}, {}]
    found = stem_tracks(with_box(tmp_path, plain, json.dumps({"stems": stems}).encode()))
    assert [track.name for track in found] == ["[31mA", "Stem 2", "x" * 100, "Stem 4"]
    assert {track.colour for track in found} == {"#9aa0a6"}


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b'{"stems": 5}', b'{"stems": []}', b'{"stems": [3]}', b"\xff\xfe",
    b"[" * 100_000, b" " * (2 << 20),
])  # fmt: skip
def test_a_box_that_is_none_counts_as_no_stem_file(tmp_path, plain, text):
    assert stem_tracks(with_box(tmp_path, plain, text)) is None


def test_other_files_are_no_stem_files(tmp_path, plain):
    for data in (plain, b"", b"RIFF", b"\0\0\0\x08ftyp", b"hello world, this is text"):
        (tmp_path / "a").write_bytes(data)
        assert stem_tracks(tmp_path / "a") is None
    with pytest.raises(InputError, match="cannot be read"):
        stem_tracks(tmp_path / "missing")


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 15, 16, 0x7FFFFFFF, 0xFFFFFFFF])
def test_boxes_of_false_size_end_the_search(tmp_path, size):
    start = struct.pack(">I4s", 8, b"ftyp")
    for tail in (b"", b"\0" * 3, b"\xff" * 8, b"\0" * 8, b"\0" * 40):
        (tmp_path / "a").write_bytes(start + struct.pack(">I4s", size, b"moov") + tail)
        assert stem_tracks(tmp_path / "a") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=10))
def test_damaged_files_never_break_the_search(tmp_path, plain, hits):
    path = with_box(tmp_path, plain, b'{"stems": [{"name": "A", "color": "#112233"}]}')
    data = bytearray(path.read_bytes())
    for place, value in hits:
        data[-1 - int(place * (len(data) // 2))] = value
    path.write_bytes(data)
    found = stem_tracks(path)
    assert found is None or all(track.stream >= 1 for track in found)
