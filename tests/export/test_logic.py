"""The kit for Logic Pro, read by readers of the tests' own."""

import wave
from pathlib import Path

import mido


def test_the_kit_for_logic_has_map_stems_and_aaf(make_project, export_to, stem_files):
    report = export_to(make_project(), "logic")
    folder = Path(report.folder)
    assert report.open_with == "tempo-map.mid"
    assert mido.MidiFile(folder / report.open_with).ticks_per_beat == 960
    assert len(list(folder.glob("*.aaf"))) == 1
    stems = sorted((folder / "stems").glob("*.wav"))
    assert len(stems) == len(stem_files)
    with wave.open(str(stems[0])) as stem:
        assert stem.getsampwidth() == 3
    words = (folder / "README.txt").read_text()
    assert "Smart Tempo" in words
    assert "File > Open" in " ".join(words.split())
