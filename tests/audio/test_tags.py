"""Tags are read where they can be; odd ones never stop a song."""

import struct

import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audio.encode import encode, noise
from workstation.audio import Tags, read_tags

JPEG = b"\xff\xd8\xff\xe0" + bytes(200)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def id3_frame(name: bytes, contents: bytes) -> bytes:
    return name + struct.pack(">I", len(contents)) + b"\0\0" + contents


def id3(*frames: bytes) -> bytes:
    body = b"".join(frames)
    size = len(body)
    synchsafe = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\x03\0\0" + synchsafe + body


def picture(data: bytes, kind: bytes = b"image/jpeg") -> bytes:
    return id3_frame(b"APIC", b"\0" + kind + b"\0\x03\0" + data)


def text(name: bytes, value: str) -> bytes:
    return id3_frame(name, b"\x01" + value.encode("utf-16"))


@pytest.fixture(scope="module")
def bare_mp3(tmp_path_factory):
    path = encode(tmp_path_factory.mktemp("mp3") / "a.mp3", noise(5000), 44100, "libmp3lame")
    data = path.read_bytes()
    return data[data.index(b"\xff\xfb") :]


@pytest.mark.parametrize(("name", "codec"), [
    ("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.flac", "flac"), ("a.opus", "libopus"),
    ("a.oga", "flac"), ("a.wav", "pcm_s16le"), ("a.mka", "flac"), ("a.wma", "wmav2"),
])  # fmt: skip
def test_title_artist_and_album_are_read(tmp_path, name, codec):
    metadata = {"title": "Jóga 音", "artist": "Björk", "album": "Homogenic"}
    path = encode(tmp_path / name, noise(5000), 48000, codec, metadata=metadata)
    tags = read_tags(path)
    assert (tags.title, tags.artist, tags.album) == ("Jóga 音", "Björk", "Homogenic")
    assert tags.cover is None


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.aiff"])
def test_a_file_without_tags_has_empty_ones(tmp_path, name):
    soundfile.write(tmp_path / name, noise(100).T, 44100)
    assert read_tags(tmp_path / name) == Tags()


@pytest.mark.parametrize(("data", "suffix"), [(JPEG, ".jpg"), (PNG, ".png")])
def test_the_cover_is_known_by_its_first_bytes(tmp_path, bare_mp3, data, suffix):
    (tmp_path / "a.mp3").write_bytes(id3(text(b"TIT2", "A"), picture(data, b"image/x")) + bare_mp3)
    tags = read_tags(tmp_path / "a.mp3")
    assert (tags.title, tags.cover, tags.cover_suffix) == ("A", data, suffix)


@pytest.mark.parametrize("data", [b"<svg onload=x>", b"MZ" * 50, JPEG + bytes(21_000_000)])
def test_pictures_that_are_none_or_too_large_are_left_out(tmp_path, bare_mp3, data):
    (tmp_path / "a.mp3").write_bytes(id3(text(b"TIT2", "A"), picture(data)) + bare_mp3)
    tags = read_tags(tmp_path / "a.mp3")
    assert (tags.title, tags.cover, tags.cover_suffix) == ("A", None, None)


def test_control_characters_and_endless_text_are_cut(tmp_path, bare_mp3):
    frames = [text(b"TIT2", "\x1b[2Jone\n two\t"), text(b"TPE1", "x" * 5000)]
    (tmp_path / "a.mp3").write_bytes(id3(*frames) + bare_mp3)
    tags = read_tags(tmp_path / "a.mp3")
    assert tags.title == "[2Jone two"
    assert tags.artist == "x" * 300


def test_what_is_no_audio_or_not_there_has_no_tags(tmp_path):
    for data in (b"", b"ID3", b"hello" * 100, b"RIFF\xff\xff\xff\xffWAVELIST", b"fLaC\0\0\0"):
        (tmp_path / "a.mp3").write_bytes(data)
        assert read_tags(tmp_path / "a.mp3") == Tags()
    assert read_tags(tmp_path / "missing.mp3") == Tags()


@pytest.fixture(scope="module")
def tagged(tmp_path_factory, bare_mp3):
    folder = tmp_path_factory.mktemp("tagged")
    (folder / "a.mp3").write_bytes(id3(text(b"TIT2", "A"), picture(JPEG)) + bare_mp3)
    for name, codec in [("a.m4a", "aac"), ("a.flac", "flac"), ("a.opus", "libopus"),
                        ("a.wav", "pcm_s16le"), ("a.wma", "wmav2")]:  # fmt: skip
        encode(folder / name, noise(2000), 48000, codec, metadata={"title": "A", "artist": "B"})
    soundfile.write(folder / "a.aiff", noise(2000).T, 44100)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150,
    derandomize=True,
)  # fmt: skip
@given(
    name=st.sampled_from(["a.mp3", "a.m4a", "a.flac", "a.opus", "a.wav", "a.wma", "a.aiff"]),
    hits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    keep=st.floats(0, 1),
    early=st.booleans(),
)
def test_damaged_tags_never_stop_a_song(tmp_path, capfd, tagged, name, hits, keep, early):
    data = bytearray(tagged[name])
    for place, value in hits:
        data[int(place * (min(len(data), 400 if early else len(data)) - 1))] = value
    (tmp_path / name).write_bytes(data[: max(1, int(keep * len(data)))])
    tags = read_tags(tmp_path / name)
    assert len(tags.title) <= 300
    assert capfd.readouterr() == ("", "")
