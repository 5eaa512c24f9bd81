"""The target `aaf`: one Advanced Authoring Format file with the audio inside.

The structure is what Pro Tools and DaVinci Resolve write: one composition, one slot a track, and
a stereo track as two mono essences under Avid's Audio Channel Combiner, because Pro Tools links
no essence of several channels. AAF has no musical time: tempo and meter do not arrive. All
positions are samples. Objects after the AAF Object Specification 1.1 (AMWA).
"""

from __future__ import annotations

import datetime
import math
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from workstation.audio import file_sha256
from workstation.audio.riff import walk_chunks
from workstation.export.aaf_gain import Gains
from workstation.export.automation import Curve
from workstation.export.level import level_of, times, without_steps
from workstation.export.markers import markers_of
from workstation.export.pieces import Clip
from workstation.export.stem_files import write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import JobContext
from workstation.model.names import ascii_name

if TYPE_CHECKING:
    from aaf2.components import OperationGroup, Segment, SourceClip
    from aaf2.dictionary import OperationDef
    from aaf2.file import AAFFile
    from aaf2.mobs import MasterMob, Mob, SourceMob
    from aaf2.mobslots import TimelineMobSlot

_COMBINER = "6b46dd7a-132d-4856-ab21-8b751d8462ec"
_IDS = uuid.uuid5(uuid.NAMESPACE_OID, "workstation aaf")
# Avid's numbers for mono, stereo, 5.1 and 7.1; other widths have none.
_TRACK_FORMATS = {1: 1, 2: 2, 6: 3, 8: 4}
# No date of today's: the same song gives the same file. Dates in AAF have no zone.
_DATE = datetime.datetime(2000, 1, 1)  # noqa: DTZ001
_VERSION = {"major": 0, "minor": 1, "tertiary": 0, "patchLevel": 0, "type": "VersionReleased"}
_FPS = 25
_SAMPLE_BYTES = 3
_BLOCK_FRAMES = 1 << 18
_LARGE_BYTES = 1 << 31
_MARKER_SLOT = 1000
_MARKER_COLOUR = {"red": 0xE900, "green": 0xA200, "blue": 0x3B00}


def write_aaf(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write `<title>.aaf` into a folder, with every stem inside as 24-bit samples.

    The samples have 24 bits whatever encoding the plan has: AAF knows no float.

    Raises:
        InputError: A stem cannot be read.
        OSError: The file cannot be written.
        CancelledError: The job was cancelled; what was written so far is no AAF yet.
    """
    import aaf2

    work = folder / ".audio"
    options = msgspec.structs.replace(plan.options, encoding="pcm24")  # No float in an AAF.
    files = write_stems(plan.project, work, options, job.part(0.0, 0.4))
    digests = [file_sha256(work / name, job.part(0.4, 0.4)) for name in files.names]
    path = folder / (ascii_name(plan.project.title, fallback="Song") + ".aaf")
    count = len(files.names)
    with aaf2.open(str(path), "w") as file:
        author = _Author(file, plan, digests)
        for index, (name, channels) in enumerate(zip(files.names, files.channels, strict=True)):
            step = job.part(0.4 + 0.6 * index / count, 0.4 + 0.6 * (index + 1) / count)
            author.add_track(index, work / name, channels, step)
            (work / name).unlink()
        author.add_markers()
    shutil.rmtree(work)
    notes = (*files.notes, *_size_notes(path), *plan.arrangement.notes, *_take_notes(plan))
    return Written(open_with=path.name, notes=notes)


def _take_notes(plan: Plan) -> list[str]:
    laid_out = plan.arrangement
    strips = laid_out.stems.values()
    notes = []
    if any(strip.pan for strip in strips):
        notes.append("The pans of the take: a stereo clip in an AAF has a level and no place.")
    if any(strip.mute for strip in strips):
        notes.append("The mute buttons: a muted stem is silent by its level.")
    if laid_out.unrolled and laid_out.grid is not None:
        notes.append("The bars: the target midi has the tempo map of the song, not of the take.")
    return notes


def _size_notes(path: Path) -> list[str]:
    size = path.stat().st_size
    if size < _LARGE_BYTES:
        return []
    return [f"The file has {size / 1e9:.1f} GB: programs that open no AAF above 2 GB refuse it."]


class _Author:
    """Writes the objects of one AAF file.

    Args:
        file: A new file of `aaf2`.
        plan: What to write.
        digests: Of the audio of every track. Ids are made from them, so that equal ids mean
            equal audio: Media Composer takes what it knows by its id from its own database.
    """

    def __init__(self, file: AAFFile, plan: Plan, digests: list[str]) -> None:
        self._file = file
        self._plan = plan
        self._digests = digests
        self._rate = plan.project.sample_rate_hz
        self._frames = plan.project.frames
        self._length = plan.arrangement.frames
        self._master = without_steps(plan.arrangement.master)
        self._identify()
        seed = "/".join([one_line(plan.project.title), *digests])
        self._combiner = self._combiner_definition()
        self._gains = Gains(file) if plan.arrangement.stems else None
        self._tape = self._add_tape(seed)
        self._composition = self._add_mob("CompositionMob", one_line(plan.project.title), seed)
        self._composition.usage = "Usage_TopLevel"
        self._add_timecode(self._composition, 1, self._length)

    def add_track(self, index: int, path: Path, channels: int, job: JobContext) -> None:
        """Add a track with the clips of the project, which play a WAV file's samples.

        Args:
            index: Of the track, from 0.
            path: A 24-bit WAV, which is copied.
            channels: How many channels it has.
            job: Progress and cancellation.
        """
        track = self._plan.project.tracks[index]
        name = one_line(track.name)
        masters = []
        for channel in range(channels):
            step = job.part(channel / channels, (channel + 1) / channels)
            seed = f"{self._digests[index]}/{index}/{channel}"
            essence = self._add_essence(name + _suffix(channel, channels), seed)
            self._copy_channel(path, channel, channels, essence, step)
            masters.append(self._add_master(essence))
        slot = self._slot(self._composition, index + 2, self._rate, index + 1)
        slot.name = name
        if channels in _TRACK_FORMATS:
            slot["TimelineMobAttributeList"].append(
                self._file.create.TaggedValue("_TRACK_FORMAT", _TRACK_FORMATS[channels], "aafInt32")
            )
        sequence = self._file.create.Sequence(media_kind="sound", length=self._length)
        level = times(level_of(self._plan.arrangement.of(track)), self._master)
        at = 0
        for clip in self._plan.arrangement.clips:
            if clip.project_frame > at:
                sequence.components.append(
                    self._file.create.Filler("sound", clip.project_frame - at)
                )
            sequence.components.append(self._segment(masters, clip, level))
            at = clip.project_frame + clip.frames
        slot.segment = sequence

    def _segment(self, masters: list[MasterMob], clip: Clip, level: Curve) -> Segment:
        """What a track plays from a clip on: its channels together, at its level."""
        clips = [
            master.create_source_clip(
                1, start=clip.song_frame, length=clip.frames, media_kind="sound"
            )
            for master in masters
        ]
        segment = clips[0] if len(clips) == 1 else self._combined(clips, clip.frames)
        return (
            segment if self._gains is None or not level else self._gains.over(segment, clip, level)
        )

    def add_markers(self) -> None:
        """Add the markers of the project as Media Composer and Resolve have them."""
        markers = markers_of(self._plan.arrangement, self._plan.timeline, self._plan.options)
        if not markers:
            return
        sequence = self._file.create.Sequence(media_kind="DescriptiveMetadata", length=self._length)
        for marker in markers:
            event = self._file.create.DescriptiveMarker()
            event.length = 1
            event["Position"].value = min(round(marker.time_s * self._rate), self._length - 1)
            event["Comment"].value = marker.name
            event["CommentMarkerUser"].value = marker.name
            event["CommentMarkerColor"].value = _MARKER_COLOUR
            sequence.components.append(event)
        slot = self._file.create.EventMobSlot(_MARKER_SLOT, segment=sequence)
        slot.edit_rate = self._rate
        slot["PhysicalTrackNumber"].value = 1
        self._composition.slots.append(slot)

    def _identify(self) -> None:
        """Say who wrote the file, instead of what `aaf2` says."""
        header = self._file.header
        header["LastModified"].value = _DATE
        author = next(iter(header["IdentificationList"]))
        author["CompanyName"].value = author["ProductName"].value = "workstation"
        author["ProductVersionString"].value = "0.1.0"
        author["ProductVersion"].value = author["ToolkitVersion"].value = _VERSION
        author["ProductID"].value = _IDS
        author["Platform"].value = "any"
        author["Date"].value = _DATE
        author["GenerationAUID"].value = uuid.uuid5(_IDS, "generation")

    def _combiner_definition(self) -> OperationDef:
        definition = self._file.create.OperationDef(_COMBINER, "Audio Channel Combiner", "")
        definition.media_kind = "sound"
        definition["IsTimeWarp"].value = False
        definition["NumberInputs"].value = 1
        definition["Bypass"].value = 0
        definition["OperationCategory"].value = "OperationCategory_Effect"
        self._file.dictionary.register_def(definition)
        return definition

    def _add_mob(self, kind: str, name: str, seed: str) -> Mob:
        from aaf2.mobid import MobID

        mob = self._file.create.from_name(kind, name)
        mob_id = MobID.new()
        mob_id.material = uuid.uuid5(_IDS, f"{kind}/{seed}")
        mob.mob_id = mob_id
        mob["CreationTime"].value = mob["LastModified"].value = _DATE
        self._file.content.mobs.append(mob)
        return mob

    def _slot(self, mob: Mob, slot_id: int, edit_rate: int, track: int) -> TimelineMobSlot:
        slot = mob.create_timeline_slot(edit_rate, slot_id)
        slot["PhysicalTrackNumber"].value = track
        return slot

    def _add_timecode(self, mob: Mob, slot_id: int, length: int) -> None:
        """Time code from 0: some programs open no composition without one."""
        frames = math.ceil(length / self._rate * _FPS)
        slot = self._slot(mob, slot_id, _FPS, 1)
        slot.name = "Timecode"
        slot.segment = self._file.create.Timecode(_FPS, length=frames)

    def _add_tape(self, seed: str) -> SourceMob:
        """The end of every chain of sources: where the audio came from, which is this song."""
        tape = self._add_mob("SourceMob", one_line(self._plan.project.title), f"tape/{seed}")
        tape.descriptor = self._file.create.TapeDescriptor()
        slot = self._slot(tape, 1, self._rate, 1)
        slot.segment = self._file.create.SourceClip(media_kind="sound", length=self._frames)
        self._add_timecode(tape, 2, self._frames)
        return tape

    def _add_essence(self, name: str, seed: str) -> SourceMob:
        """A mob for one channel of samples; `_copy_channel` gives it the samples."""
        mob = self._add_mob("SourceMob", name, seed)
        slot = self._slot(mob, 1, self._rate, 1)
        slot.segment = self._tape.create_source_clip(1, length=self._frames, media_kind="sound")
        descriptor = self._file.create.PCMDescriptor()
        values = {
            "ContainerFormat": self._file.dictionary.lookup_containerdef("AAF"),
            "Length": self._frames,
            "SampleRate": self._rate,
            "AudioSamplingRate": self._rate,
            "Channels": 1,
            "QuantizationBits": 8 * _SAMPLE_BYTES,
            "BlockAlign": _SAMPLE_BYTES,
            "AverageBPS": _SAMPLE_BYTES * self._rate,
        }
        for key, value in values.items():
            descriptor[key].value = value
        mob.descriptor = descriptor
        return mob

    def _copy_channel(
        self, path: Path, channel: int, channels: int, essence: SourceMob, job: JobContext
    ) -> None:
        data = self._file.create.EssenceData()
        data.mob_id = essence.mob_id
        self._file.content.essencedata.append(data)
        stream = data.open("w")
        done = 0
        for block in _channel_blocks(path, channel, channels):
            job.check()
            stream.write(block)
            done += len(block) // _SAMPLE_BYTES
            job.report(done / self._frames)

    def _add_master(self, essence: SourceMob) -> MasterMob:
        """The mob that a clip plays; programs show its name on the clip."""
        mob = self._add_mob("MasterMob", essence.name, str(essence.mob_id))
        slot = self._slot(mob, 1, self._rate, 1)
        slot.segment = essence.create_source_clip(1, length=self._frames, media_kind="sound")
        return mob

    def _combined(self, clips: list[SourceClip], frames: int) -> OperationGroup:
        group = self._file.create.OperationGroup(self._combiner, frames, "sound")
        group.segments.extend(clips)
        return group


def _suffix(channel: int, channels: int) -> str:
    """What tells the files of one track apart, as Pro Tools names them."""
    if channels == 1:
        return ""
    return (".L", ".R")[channel] if channels == 2 else f".{channel + 1}"


def _channel_blocks(path: Path, channel: int, channels: int) -> Iterator[bytes]:
    """The samples of one channel of a 24-bit WAV, as they are, in pieces."""
    with path.open("rb") as file:
        data = next(part for part in walk_chunks(file) if part.name == b"data")
        file.seek(data.start)
        left = data.size
        while left:
            block = file.read(min(left, _BLOCK_FRAMES * channels * _SAMPLE_BYTES))
            left -= len(block)
            samples = np.frombuffer(block, np.uint8).reshape(-1, channels, _SAMPLE_BYTES)
            yield samples[:, channel].tobytes()


AAF = Target(
    name="aaf",
    title="AAF",
    summary="one .aaf file with the audio inside",
    opens_in="Pro Tools, Logic Pro, Cubase, Nuendo, Media Composer, DaVinci Resolve",
    how_to=(
        "Import the .aaf file: in Pro Tools with File > Open Session, in Logic Pro with File > "
        "Import > AAF, in Cubase and Nuendo with File > Import > AAF, in Media Composer and "
        "DaVinci Resolve as a timeline. The audio is inside the file. AAF knows no tempo: import "
        "the tempo map of the target midi first if you need bars."
    ),
    carries=frozenset({Part.AUDIO, Part.SECTIONS, Part.BARS, Part.AUTOMATION}),
    encodings=("pcm24",),
    confirmed=(
        "Not yet confirmed in Pro Tools, Logic Pro, Cubase or Resolve themselves: libaaf, which "
        "Ardour uses, reads the tracks, the markers and the samples as they are."
    ),
    write=write_aaf,
)
