"""The target `logic`: a kit that always works in Logic Pro.

Logic makes tempo changes, meters and markers from a MIDI file that is opened (not imported), and
places audio exactly by AAF. So the kit has both, and the stems to drag in.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from workstation.export import cubase
from workstation.export.aaf import write_aaf
from workstation.export.cubase import write_tempo_track
from workstation.export.midi import FILE_NAME, write_tempo_map
from workstation.export.stem_files import write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.model import JobContext


def write_logic(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the stems, the tempo map and the AAF."""
    files = write_stems(plan.project, folder / "stems", plan.options, job.part(0.0, 0.4))
    write_tempo_map(plan, folder / FILE_NAME)
    write_tempo_track(plan, folder / cubase.FILE_NAME)
    # The tempo map and the stems are the song's, so all of the kit is.
    song = msgspec.structs.replace(plan.project, take=None)
    aaf = write_aaf(msgspec.structs.replace(plan, project=song), folder, job.part(0.4, 1.0))
    return Written(open_with=FILE_NAME, notes=tuple(dict.fromkeys((*files.notes, *aaf.notes))))


LOGIC = Target(
    name="logic",
    title="Logic Pro",
    summary="a kit: the tempo map to open, the stems, and an AAF",
    opens_in="Logic Pro",
    how_to=(
        "1. Open tempo-map.mid with File > Open (do not import it): a project with the tempo map, "
        "the meter and the markers. 2. In its settings, Smart Tempo, set imported audio files to "
        "Off, and trimming of new regions off. 3. Drag all stems together to bar 1 and choose new "
        "tracks; say no to a Smart Tempo multitrack set. Or, for the tracks alone: File > Import > "
        "AAF. For Cubase, tempo-map.smt has the tempo map too."
    ),
    carries=frozenset({Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.KEY}),
    encodings=("pcm24", "float32"),
    scratch_copies=2,
    confirmed=(
        "Not yet confirmed in Logic Pro itself: other readers of MIDI files and AAFs find the "
        "tempos, the markers and the samples where they should be."
    ),
    write=write_logic,
)
