"""Stems in a DAWproject of the user's own: by the official schema, and by reading it again."""

import io
import zipfile
from pathlib import Path

import pytest
import xmlschema
from lxml import etree

from tests.export.conftest import GROUPED, ONES_OWN, read_dawproject, worst_beat_s
from tests.export.test_takes import DRIFTING, JUMPS, STRAIGHT
from workstation.export import lay_out
from workstation.model import InputError

SCHEMA = Path(__file__).parent / "schema" / "Project.xsd"
OWN = """<?xml version="1.0" encoding="UTF-8"?>
<Project version="1.0">
  <Application name="Bitwig Studio" version="5.0"/>
  <Transport>
    <Tempo max="666" min="20" unit="bpm" value="99" id="id0" name="Tempo"/>
    <TimeSignature denominator="4" numerator="7" id="id1"/>
  </Transport>
  <Structure>
    <Track contentType="tracks" loaded="true" id="id2" name="Group">
      <Channel audioChannels="2" destination="id31" role="submix" solo="false" id="id3"/>
      <Track contentType="audio" loaded="true" id="id10" name="DRUMS" color="#010203">
        <Channel audioChannels="2" destination="id3" role="regular" solo="false" id="id11">
          <Mute value="false" id="id12" name="Mute"/>
          <Pan max="1" min="0" unit="normalized" value="0.25" id="id13" name="Pan"/>
          <Volume max="2" min="0" unit="linear" value="0.5" id="id14" name="Volume"/>
        </Channel>
      </Track>
    </Track>
    <Track contentType="notes" loaded="true" id="id20" name="Bass">
      <Channel audioChannels="2" destination="id31" role="regular" solo="false" id="id21"/>
    </Track>
    <Track contentType="audio notes" loaded="true" id="id30" name="Master">
      <Channel audioChannels="2" role="master" solo="false" id="id31"/>
    </Track>
  </Structure>
  <Arrangement id="id40">
    <Lanes timeUnit="beats" id="id41">
      <Lanes track="id10" id="id42">
        <Clips id="id43">
          <Clip time="0" duration="4" name="old"><Clips id="id44"/></Clip>
        </Clips>
        <Points unit="linear" id="id45">
          <Target parameter="id14"/><RealPoint time="0" value="1" interpolation="linear"/>
        </Points>
      </Lanes>
      <Lanes track="id20" id="id46"><Notes id="id47"/></Lanes>
    </Lanes>
    <Markers timeUnit="beats" id="id48"><Marker time="3" name="Mine"/></Markers>
  </Arrangement>
  <Scenes/>
</Project>
"""


@pytest.fixture
def own(tmp_path):
    """Writes a project of the user's own."""

    def write(xml=OWN, **entries):
        path = tmp_path / "mine.dawproject"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {
                "project.xml": xml,
                "plugins/a.bin": b"\x00" * 999,
                **entries,
            }.items():
                archive.writestr(name, data)
        return path

    return write


def opened(report):
    path = Path(report.folder) / report.open_with
    root, tempos, meters = read_dawproject(path)
    with zipfile.ZipFile(path) as archive:
        xml = archive.read("project.xml")
        entries = {name: archive.read(name) for name in archive.namelist()}
    xmlschema.XMLSchema(str(SCHEMA)).validate(xml.decode())
    etree.XMLSchema(etree.parse(str(SCHEMA))).assertValid(etree.fromstring(xml))
    return root, tempos, meters, entries


@pytest.mark.parametrize("take", [None, STRAIGHT, JUMPS])
def test_stems_land_on_tracks_of_their_name_and_obey_the_schema(make_project, export_to, own, take):
    path = own(**{"audio/01 Drums.wav": b"mine", "metadata.xml": b"<MetaData/>"})
    before = path.read_bytes()
    report = export_to(make_project(grid=DRIFTING, take=take), "dawproject", own_project=path)
    assert path.read_bytes() == before
    root, tempos, meters, entries = opened(report)
    names = [t.get("name") for t in root.iter("Track")]
    assert names == ["Group", "DRUMS", "Bass", "Master", "Bass", "Other", "Vocals"]
    drums = next(t for t in root.iter("Track") if t.get("name") == "DRUMS")
    assert (drums.get("id"), drums.find("Channel/Volume").get("value")) == ("id10", "0.5")
    added = [t for t in root.find("Structure") if t.get("name") in {"Other", "Vocals"}]
    assert {t.find("Channel").get("destination") for t in added} == {"id31"}
    lanes = root.find("Arrangement/Lanes")
    played = {}
    for lane in lanes:
        for file in lane.iter("File"):
            played.setdefault(lane.get("track"), set()).add(file.get("path"))
    assert played["id10"] == {"audio-of-the-song/01 Drums.wav"}
    assert len(played) == 4
    assert set.union(*played.values()) <= set(entries)
    assert not [c for c in lanes.iter("Clip") if c.get("name") == "old"]
    assert (entries["audio/01 Drums.wav"], entries["plugins/a.bin"]) == (b"mine", b"\x00" * 999)
    assert lanes.find("Lanes[@track='id20']/Notes") is not None
    tempo = root.find("Transport/Tempo")
    assert root.find("Arrangement/TempoAutomation/Target").get("parameter") == tempo.get("id")
    words = " ".join(report.dropped)
    assert "Markers of your project gave way: 1." in words
    assert "Clips on your track drums gave way: 1." in words
    volume = [p for p in lanes.iter("Points") if p.find("Target").get("parameter") == "id14"]
    assert len(volume) == 1
    assert (len(volume[0]) > 10) == (take is not None)
    if take is None:
        assert worst_beat_s(DRIFTING, tempos, meters) < 30e-6
        assert [m.get("name") for m in root.iter("Marker")] == ["A", "B"]
    else:
        assert "the master of your project stays" in words


def test_an_earlier_export_and_a_bare_project_can_be_filled(make_project, export_to, own, tmp_path):
    first = export_to(make_project(), "dawproject")
    path = tmp_path / "first.dawproject"
    path.write_bytes((Path(first.folder) / first.open_with).read_bytes())
    again = export_to(make_project(), "dawproject", own_project=path, overwrite=True)
    root, *_ = opened(again)
    assert [t.get("name") for t in root.iter("Track")] == [
        "Drums", "Bass", "Other", "Vocals", "Master",
    ]  # fmt: skip
    assert len(list(root.iter("Audio"))) == 4
    bare = own('<Project version="1.0"><Application name="x" version="1"/></Project>')
    root, *_ = opened(
        export_to(make_project(take=STRAIGHT), "dawproject", own_project=bare, overwrite=True)
    )
    assert len(list(root.iter("Track"))) == 5


@pytest.mark.parametrize("take", [None, STRAIGHT])
def test_stems_in_groups_land_on_tracks_of_their_name_and_the_rest_of_the_group_behind(
    make_project, export_to, own, take
):
    project = lay_out(make_project(take=take), GROUPED, {})
    report = export_to(project, "dawproject", own_project=own())
    root, _, _, entries = opened(report)
    structure = root.find("Structure")
    assert [t.get("name") for t in structure.findall("Track")] == [
        "Group", "Bass", "Master", "Rhythm", "Vocals", "Other", "Reverb",
    ]  # fmt: skip
    rhythm = structure.find("Track[@name='Rhythm']")
    assert [t.get("name") for t in rhythm.findall("Track")] == ["Low & <b>", "New"]
    channel = rhythm.find("Channel")
    assert channel.get("destination") == "id31"
    assert {t.find("Channel").get("destination") for t in rhythm.findall("Track")} == {
        channel.get("id")
    }
    tracks = {t.get("id"): t.get("name") for t in structure.iter("Track")}
    played = {
        tracks[lane.get("track")]: file.get("path")
        for lane in root.find("Arrangement/Lanes")
        for file in lane.iter("File")
    }
    assert played == {
        "DRUMS": "audio/01 Drums.wav",
        "Vocals": "audio/02 Vocals.wav",
        "Low & <b>": "audio/03 Low & b.wav",
        "Other": "audio/04 Other.wav",
    }
    assert set(played.values()) <= set(entries)
    assert not [c for c in root.iter("Clip") if c.get("name") == "old"]
    assert "Clips on your track drums gave way: 1." in report.dropped


def test_an_earlier_export_with_groups_is_filled_in_its_place(make_project, export_to, tmp_path):
    project = lay_out(make_project(), GROUPED, {})
    first = export_to(project, "dawproject")
    path = tmp_path / "first.dawproject"
    path.write_bytes((Path(first.folder) / first.open_with).read_bytes())
    report = export_to(project, "dawproject", own_project=path, overwrite=True)
    root, *_ = opened(report)
    assert [t.get("name") for t in root.iter("Track")] == [
        "Rhythm", "Drums", "Low & <b>", "New", "Vocals", "Other", "Reverb", "Master",
    ]  # fmt: skip
    assert len(list(root.iter("Audio"))) == 4
    assert sum("gave way: 1" in words for words in report.dropped) == 4


@pytest.mark.parametrize("has_mute", [True, False])
def test_a_layout_mutes_tracks_that_are_there_and_what_they_keep_is_told(
    make_project, export_to, own, has_mute
):
    mute = next(line for line in OWN.splitlines() if 'name="Mute"' in line)
    path = own(OWN if has_mute else OWN.replace(mute, ""))
    report = export_to(lay_out(make_project(), ONES_OWN, {}), "dawproject", own_project=path)
    root, *_ = opened(report)
    tracks = {track.get("name"): track for track in root.find("Structure").iter("Track")}
    assert set(tracks) >= {"DRUMS", "Bass", "New", "Reverb"}
    muted = {name for name, track in tracks.items()
             if track.find("Channel/Mute[@value='true']") is not None}  # fmt: skip
    assert muted == {"DRUMS", "Bass"}
    assert "The group of Drums: your project keeps its own." in report.dropped
    assert "An output for each track: all go to the master." in report.dropped


def zipped(**entries):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


ENTITY = OWN.replace("<Project v", '<!DOCTYPE p [<!ENTITY x "y">]>\n<Project v', 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged or is not"),
        (b"PK\x03\x04 no zip", "damaged or is not"),
        (zipped(**{"other.xml": OWN}), "damaged or is not"),
        (zipped(**{"project.xml": "<Project>"}), "damaged or is not"),
        (zipped(**{"project.xml": "<Song/>"}), "is not a DAWproject"),
        (zipped(**{"project.xml": ENTITY}), "XML entities"),
        (zipped(**{"project.xml": OWN.encode("utf-16")}), "XML entities"),
        (zipped(**{"project.xml": OWN, "../evil.wav": b"x"}), "outside itself"),
        (zipped(**{"project.xml": OWN, "/evil.wav": b"x"}), "outside itself"),
        (zipped(**{"project.xml": OWN, "C:/evil.wav": b"x"}), "outside itself"),
        (zipped(**{"project.xml": b" " * (65 << 20)}), "larger than any"),
    ],
    ids=range(11),
)
def test_a_hostile_file_is_refused_in_one_clear_sentence(
    make_project, export_to, tmp_path, data, words
):
    path = tmp_path / "mine.dawproject"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        export_to(make_project(), "dawproject", own_project=path)
    assert not (tmp_path / "dawproject").exists()
    assert not (tmp_path / "evil.wav").exists()


def test_a_damaged_entry_is_told_and_leaves_nothing(make_project, export_to, own, tmp_path):
    path = own(**{"big.wav": bytes(range(256)) * 400})
    data = bytearray(path.read_bytes())
    at = data.index(b"big.wav") + 40
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        export_to(make_project(), "dawproject", own_project=path)
    assert not (tmp_path / "dawproject").exists()


def test_a_track_without_a_fader_in_the_file_is_told(make_project, export_to, own):
    fader = next(line for line in OWN.splitlines() if 'id="id14" name="Volume"' in line)
    points = OWN[OWN.index('        <Points unit="linear"') : OWN.index("      </Lanes>")]
    path = own(OWN.replace(fader, "").replace(points, ""))
    report = export_to(make_project(take=STRAIGHT), "dawproject", own_project=path)
    opened(report)
    words = " ".join(report.dropped)
    assert "Volume of the take on your track drums: the file has none." in words
