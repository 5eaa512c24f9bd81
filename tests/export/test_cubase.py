"""The tempo track for Cubase, read back with lxml and integrated."""

from pathlib import Path

import pytest
from lxml import etree

from tests.export.conftest import TempoMap, worst_beat_s
from tests.export.test_ardour import GRIDS


def read_smt(path):
    """Tempo map and meters; bars must be counted as the meters before them have it."""
    root = etree.parse(path).getroot()
    names = {r.get("name"): r.get("ID") for r in root.find("rootObjects")}
    tracks = {o.get("ID"): o for o in root.findall("obj")}
    ids = [o.get("ID") for o in root.iter("obj")]
    assert len(set(ids)) == len(ids)

    def events(track):
        return [{v.get("name"): float(v.get("value")) for v in o}
                for o in tracks[names[track]].find("list")]  # fmt: skip

    tempos = [(e["PPQ"] / 480, e["BPM"]) for e in events("Tempo Track")]
    meters, bar, before = [], 0, None
    for e in events("Signature Track"):
        quarter = e["Position"] / 480
        if before is not None:
            bar += round((quarter - before[0]) / (4 * before[1] / before[2]))
        assert e["Bar"] == bar
        before = (quarter, int(e["Numerator"]), int(e["Denominator"]))
        meters.append(before)
    return TempoMap(tempos), meters


@pytest.mark.parametrize("target", ["midi", "logic"])
@pytest.mark.parametrize("grid", GRIDS)
def test_beats_are_where_the_grid_has_them(make_project, export_to, grid, target):
    report = export_to(make_project(grid=grid), target)
    assert "tempo-map.smt" in report.files
    tempos, meters = read_smt(Path(report.folder) / "tempo-map.smt")
    assert worst_beat_s(grid, tempos, meters) < 1e-6


def test_a_song_without_beats_has_one_tempo(make_project, export_to):
    report = export_to(make_project(grid=None), "midi")
    tempos, meters = read_smt(Path(report.folder) / "tempo-map.smt")
    assert (tempos.points, meters) == ([(0.0, 120.0)], [(0.0, 4, 4)])
