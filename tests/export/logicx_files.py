"""A project of Logic made of the few records that matter, and a reader that knows no writer."""

import plistlib
import re
import struct
from pathlib import Path

REAL = Path(__file__).parents[3] / "shared" / "data" / "daw" / "logic"
BUNDLES = sorted(REAL.glob("*.logicx")) if REAL.is_dir() else []
END = bytes.fromhex("f1000000ffffff3f0000000000000000")


def raw(tag, kind=0, index=0, payload=b"", tail=bytes(16)):
    """One record: its tag in reverse, what it is of, and the length of what it holds."""
    head = tag.encode()[::-1] + struct.pack("<HHI", 1, kind, index) + tail
    return head + struct.pack("<II", len(payload), 0) + payload


def framed(records):
    body = b"".join(records)
    return (
        bytes.fromhex("2347c0abcf0903000400000001000800") + struct.pack("<II", len(body), 0) + body
    )


def unframed(content):
    """Every record as (tag, kind, index, head, payload)."""
    assert content[:4] == b"\x23\x47\xc0\xab"
    assert struct.unpack_from("<I", content, 16)[0] == len(content) - 24
    found, at = [], 24
    while at < len(content):
        head = content[at : at + 36]
        size = struct.unpack_from("<I", head, 28)[0]
        kind, index = struct.unpack_from("<HI", head, 6)
        payload = content[at + 36 : at + 36 + size]
        assert len(payload) == size
        found.append(
            (head[:4][::-1].decode("latin-1"), kind, index, head[:28] + head[32:], payload)
        )
        at += 36 + size
    return found


def channel(number, name, kind=0x10):
    """A channel; its strip is found by sixteen times its number."""
    letters = name.encode()
    named = struct.pack("<H", len(letters)) + letters + bytes(len(letters) % 2)
    before = b"before" + bytes(0x9B - 6) + bytes((kind,)) + bytes(2)
    return raw("Envi", 5, number, before + named + b"\x07" * 0x11F + bytes([number >> 18] * 16))


def strip(number, *, mono=False, size=169):
    payload = bytearray(b"\x09" * size)
    payload[0x4E], payload[0x56], payload[0x7B] = (0xD3, 0, 1) if mono else (0xD7, 1, 2)
    payload[0x99:0xA9] = bytes([number >> 18] * 16)
    return raw("AuCO", 0, 0x240000, bytes(payload))


def audio_file(name, number, ordinal, following):
    encoded = name.encode("utf-16-le")
    payload = bytearray(10 + len(encoded) + 0x1C8 + 122)
    struct.pack_into("<H", payload, 8, len(encoded) // 2)
    payload[10 : 10 + len(encoded)] = encoded
    struct.pack_into("<I", payload, len(payload) - 122 + 0x38, ordinal)
    struct.pack_into("<I", payload, len(payload) - 122 + 0x3E, following)
    return raw("AuFl", 11, number << 18, bytes(payload))


def placed(row, number, marker=0x24, position=34560):
    words = [marker, position, 0, 0, 88, 0x89000000 | row, 0, 0, 0, 0x88000000, 0, number * 4]
    return struct.pack("<12I", *words) + struct.pack(
        "<8I", 0, 0x8A000000, 0, 0, 0, 0x89000000, 0, 0
    )


def own_records(
    names=("Audio 1", "Bass", "Synth", "Audio 2", "Audio 3"), *, markers=True, rate=44100, mono=(),
    strips=169, audio=True,
):  # fmt: skip
    """Records of a project: an output, an instrument, and an audio track of every name.

    The one that is called Synth is an instrument. The first audio track has a region.
    """
    song = bytearray(b"\x05" * 0x400)
    for at in (0x6E, 0xC6, 0x382):
        struct.pack_into("<I", song, at, 1_200_000)
    code, word = {44100: (0, 0xE970), 48000: (0x16, 0xF8AC), 96000: (7, 7)}[rate]
    song[0xDF] = code
    struct.pack_into("<HH", song, 0x11E, word, word)
    tempo = struct.pack("<8I", 0x60, 38400, 0, 0x7F, 1_200_000, 0x88400000, 7_200_000, 0)
    meter = struct.pack("<II3xBB3x", 0x30, 0, 2, 4) + struct.pack("<IIII", 0, 0x88000000, 0, 0) * 2
    key = struct.pack("<8I", 0x32, 0, 0, 0, 7, 0x88000000, 0, 0)
    numbers = [(0x16 + k) << 18 for k in range(len(names))]
    rows = b""
    events = placed(1, 0) + placed(3, 0, 0x20) if audio else b""
    edge = raw("Trak", 0x17, 0x40000)
    for k, number in enumerate(numbers):
        row = bytearray(57)
        struct.pack_into("<I", row, 6, number)
        rows += raw("Trak", 0x17, 0x40000, bytes(row), struct.pack("<6xH8x", k))
    markers_of = [
        raw("TxSq", 32, 0, b"notes of the project"),
        raw("TxSq", 32, 0x40000, b"an old name"),
    ]
    old = struct.pack("<8I", 0x12, 42240, 0, 0, 4, 0x88000000, 0, 1) + struct.pack(
        "<IIII", 0, 0x88000000, 0, 0
    )
    return [
        raw("Song", 0, 0, bytes(song)),
        raw("EvSq", 1, 0, meter + key + END),
        raw("EvSq", 3, 0, tempo + END),
        *([audio_file("mine.wav", 0, 1, 0xFFFFFFFF), raw("AuRg", 11, 0, bytes(206))] * audio),
        raw("Styl", 8, 0, b"a style"),
        *(strip(n, mono=name in mono, size=strips) for n, name in zip(numbers, names, strict=True)),
        raw("AuCU", 0, 0, b"<plist>a plug-in</plist>" * 9),
        *(channel(n, name, 0x09 if name == "Synth" else 0x10)
          for n, name in zip(numbers, names, strict=True)),
        raw("EvSq", 0x16, 0x40000, (old if markers else b"") + END),
        edge + rows + edge,
        raw("EvSq", 0x17, 0x40000, events + END),
        raw("EvSq", 0x19, 0, b"\x90" + bytes(31) + END),
        *(markers_of if markers else []),
    ]  # fmt: skip


def make_bundle(path, content=None, **changes):
    """A bundle with these records, and with what else lies in one."""
    inner = path / "Alternatives" / "000"
    inner.mkdir(parents=True)
    for folder in ("Media/Audio Files", "Resources", "Alternatives/000/Project File Backups/00"):
        (path / folder).mkdir(parents=True)
    (inner / "ProjectData").write_bytes(
        framed(own_records(**changes)) if content is None else content
    )
    about = {"BeatsPerMinute": 120.0, "NumberOfTracks": 4, "AudioFiles": ["Audio Files/mine.wav"]}
    (inner / "MetaData.plist").write_bytes(plistlib.dumps(about, fmt=plistlib.FMT_BINARY))
    (inner / "DisplayStateArchive").write_bytes(b"\x00\xff windows")
    (inner / "Project File Backups" / "00" / "ProjectData").write_bytes(b"of yesterday")
    (path / "Media" / "Audio Files" / "mine.wav").write_bytes(b"RIFF mine")
    (path / "Resources" / "ProjectInformation.plist").write_bytes(
        plistlib.dumps({"HasProjectFolder": False, "VariantNames": {"0": "own"}})
    )
    return path


def files_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes()
            for p in sorted(folder.rglob("*")) if p.is_file()}  # fmt: skip


# -- the reader -----------------------------------------------------------------------------------


def events_of(payload):
    """Events of a sequence: units of 16 bytes, those with the top bit of byte 7 continue one."""
    assert payload[-16:] == END
    events = []
    for at in range(0, len(payload) - 16, 16):
        unit = payload[at : at + 16]
        if unit[7] & 0x80:
            events[-1] += unit
        else:
            events.append(unit)
    return events


def name_at(payload, at):
    size = struct.unpack_from("<H", payload, at)[0]
    return payload[at + 2 : at + 2 + size].decode(), at + 2 + size + size % 2


def rtf_text(payload):
    rtf = payload[payload.index(b"{\\rtf1") :].decode("ascii")
    words = re.search(r"\\cf2 (.*)\}\Z", rtf, re.DOTALL)[1]
    units = re.sub(r"\\uc1\\u(-?\d+)\?", lambda m: chr(int(m[1]) & 0xFFFF), words)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def read_logicx(bundle):
    """What a project says, as a dict; positions in quarters from bar 1 on."""
    records = unframed((bundle / "Alternatives" / "000" / "ProjectData").read_bytes())

    def one(kind, index=0):
        (found,) = (r[4] for r in records if r[:3] == ("EvSq", kind, index))
        return events_of(found)

    def quarter(event, start=38400):
        return (struct.unpack_from("<I", event, 4)[0] - start) / 960

    texts = {index >> 16: payload for tag, _, index, _, payload in records if tag == "TxSq"}
    channels = {index: payload for tag, _, index, _, payload in records if tag == "Envi"}
    rows = [
        p for tag, kind, index, _, p in records if (tag, kind, index) == ("Trak", 0x17, 0x40000)
    ]
    rows = [struct.unpack_from("<I", row, 6)[0] for row in rows if row]
    files = {index >> 16: payload for tag, _, index, _, payload in records if tag == "AuFl"}
    regions = {index >> 16: p for tag, _, index, _, p in records if tag == "AuRg"}
    song = records[0][4]
    arranged = []
    for event in one(0x17, 0x40000):
        if event[0] != 0x24:
            continue
        link, row = struct.unpack_from("<I", event, 0x2C)[0], event[0x14]
        file, region = files[link], regions[link]
        at = file.index(b"EVAW") if b"EVAW" in file else None
        arranged.append(
            {
                "track": name_at(channels[rows[row - 1]], 0x9E)[0],
                "channel": struct.unpack_from("<I", event, 0x10)[0] << 16 == rows[row - 1],
                "quarter": quarter(event, 34560),
                "name": name_at(region, 0x4A)[0],
                "frames": struct.unpack_from("<I", region, 0x16)[0],
                "file": file[10 : 10 + 2 * file[8]].decode("utf-16-le"),
                "folder": at and file[at - 0x13E :].split(b"\0")[0].decode(),
                "format": at and struct.unpack_from("<IHH", file, at + 0x14),
                "samples": at and struct.unpack_from("<II", file, at + 0x08),
                "bytes": at and struct.unpack_from("<I", file, at - 0x32)[0],
            }
        )
    return {
        "tempos": [(quarter(e), struct.unpack_from("<I", e, 16)[0] / 1e4) for e in one(3)],
        "clock_s": [(struct.unpack_from("<I", e, 24)[0] - 7_200_000) / 2000 for e in one(3)],
        "song_bpm": [struct.unpack_from("<I", song, at)[0] / 1e4 for at in (0x6E, 0xC6, 0x382)],
        "meters": [(max(0, quarter(e)), e[12], 1 << e[11]) for e in one(1) if e[0] == 0x30],
        "markers": [(quarter(e), rtf_text(texts[struct.unpack_from("<I", e, 16)[0]]))
                    for e in one(0x16, 0x40000)],
        "rate": (song[0xDF], *struct.unpack_from("<HH", song, 0x11E)),
        "regions": arranged,
        "tracks": [name_at(channels[row], 0x9E)[0] for row in rows if row in channels],
    }  # fmt: skip
