"""The target `logic`: a kit that always works in Logic Pro, and the user's own project filled.

Logic makes tempo changes, meters and markers from a MIDI file that is opened (not imported), and
places audio exactly by AAF. So the kit has both, and the stems to drag in.

A new project of Logic cannot be made from its format alone. With a project of the user's own
there is also a copy of that with the stems in it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from workstation.export import cubase
from workstation.export.aaf import write_aaf
from workstation.export.cubase import write_tempo_track
from workstation.export.logicx_song import read_own, write_own
from workstation.export.midi import FILE_NAME, write_tempo_map
from workstation.export.stem_files import write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.model import JobContext
from workstation.model.names import ascii_name


def write_logic(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the stems, the tempo map and the AAF, and the user's own project with the stems.

    Raises:
        UsageError: The user's own project cannot take this encoding.
        InputError: A stem or the user's own project cannot be read, or the stems do not fit in.
        OutputError: The folder cannot be written.
    """
    own = None if plan.options.own_project is None else read_own(plan, plan.options.own_project)
    kit = job if own is None else job.part(0.0, 0.7)
    # Logic writes overviews into the WAV files that it opens, so these are no one else's.
    files = write_stems(
        plan.project, folder / "stems", plan.options, kit.part(0.0, 0.4), link=False
    )
    write_tempo_map(plan, folder / FILE_NAME)
    write_tempo_track(plan, folder / cubase.FILE_NAME)
    # The tempo map and the stems are the song's, so all of the kit is.
    song = msgspec.structs.replace(plan.project, take=None)
    aaf = write_aaf(msgspec.structs.replace(plan, project=song), folder, kit.part(0.4, 1.0))
    in_aaf = [f"The AAF: {words}" for words in aaf.notes if words not in files.notes]
    if plan.options.encoding != "pcm24":
        in_aaf.append("The encoding in the AAF: it has 24 bits, as AAF knows no float.")
    notes = (*files.notes, *in_aaf)
    if own is None:
        return Written(open_with=FILE_NAME, notes=notes)
    name = f"{ascii_name(plan.project.title, fallback='Song')}.logicx"
    words = write_own(plan, own, files, folder / name, job.part(0.7, 1.0))
    return Written(open_with=name, notes=(*words, *notes))


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
    own_projects=(".logicx",),
    confirmed=(
        "Not yet confirmed in Logic Pro itself: other readers of MIDI files and AAFs find the "
        "tempos, the markers and the samples where they should be."
    ),
    write=write_logic,
)
