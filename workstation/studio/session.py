"""A session in hand: the object that scripts, the command line and the screen all drive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workstation.audio import file_sha256, need_space, open_audio, probe, read_audio, writing
from workstation.config import load_settings
from workstation.model import (
    Analysis,
    AudioRef,
    BeatGrid,
    ExportReport,
    InputError,
    JobContext,
    Song,
    Stem,
    UsageError,
)
from workstation.model.mixer import MixerState, Strip, gain_words
from workstation.model.names import shown
from workstation.model.stem_roles import role_of
from workstation.separate import Choice, EngineOptions, FloatArray, choose_engine
from workstation.separate.expression import canonical
from workstation.session import SessionFolder, SessionState, TakeShelf
from workstation.studio.karaoke import make_karaoke
from workstation.studio.loops import make_loops
from workstation.studio.practice import make_practice
from workstation.studio.surround import make_surround

if TYPE_CHECKING:
    from workstation.export import SharedStems
    from workstation.perform.outputs import OutputOptions
    from workstation.studio.early import EarlyStems
    from workstation.studio.player import Connections, Player
    from workstation.studio.stem_blocks import Rendered


class Session:
    """A song with its stems and its analysis, on disk at `path`.

    Made by `workstation.open`. Every step is kept in the session folder: asked for again, it
    is already there. Methods that write hold the session's lock while they do.

    Attributes:
        path: The session folder (`….remix`).
    """

    def __init__(self, folder: SessionFolder, state: SessionState) -> None:
        self._folder = folder
        self._state = state

    # -- what is there ----------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The session folder."""
        return self._folder.path

    @property
    def song(self) -> Song:
        """Title, artist, source and analysis."""
        return self._state.song

    @property
    def analysis(self) -> Analysis | None:
        """What `analyze` found, or None if it has not run."""
        return self._state.song.analysis

    @property
    def engine(self) -> str | None:
        """Whose stems are in use; `imported` for ready-made ones, None before separation."""
        return self._state.engine

    @property
    def stems(self) -> dict[str, Path]:
        """The stems in use: name to float32 WAV. Empty before separation."""
        return self._stems_of(self._state.engine)

    def stem_states(self) -> dict[str, str]:
        """The stems in use with their paths, or `missing` where the file is gone."""
        stems = self._state.stems_of(self._state.engine)
        paths = {stem.name: self.path / stem.audio.path for stem in stems}
        return {name: str(p) if p.is_file() else "missing" for name, p in paths.items()}

    @property
    def exports(self) -> Path:
        """Where exports go unless another folder is named."""
        return self._folder.exports

    @property
    def source_path(self) -> Path:
        """The song's own audio file."""
        return self._folder.audio_path(self.song.source, may_be_outside=True)

    @property
    def cover_path(self) -> Path | None:
        """The song's picture, if its file had one."""
        if self.song.cover is None:
            return None
        cover = self.path / Path(self.song.cover).name
        return cover if cover.is_file() else None

    def stem(self, name: str) -> FloatArray:
        """Samples of one stem: float32, shape (channels, frames), at the song's rate.

        Raises:
            UsageError: There is no stem of that name.
        """
        stems = self.stems
        if name not in stems:
            have = ", ".join(stems) or "none; call separate() first"
            raise UsageError(f'This session has no stem "{name}".', f"It has: {have}.")
        samples, _rate = read_audio(stems[name])
        return samples

    def mix(self, names: Iterable[str]) -> FloatArray:
        """Sum of some stems: float32, shape (channels, frames).

        Raises:
            UsageError: A name is not that of a stem, or none was given.
        """
        total: FloatArray | None = None
        for name in names:
            stem = self.stem(name)
            if total is None:
                total = stem
            elif stem.shape[0] > total.shape[0]:
                total = stem + total  # A mono stem sounds on every channel.
            else:
                total += stem
        if total is None:
            raise UsageError(
                "No stem was named for the mix.", f"Name some of: {', '.join(self.stems)}."
            )
        return total

    # -- the steps --------------------------------------------------------------------

    def separate(
        self,
        engine: str | None = None,
        *,
        options: EngineOptions | None = None,
        say: Callable[[str], None] | None = None,
        job: JobContext | None = None,
    ) -> dict[str, Path]:
        """Split the song into stems that sum to it, or take those that are there.

        Args:
            engine: Name of an engine, or `auto`; None takes the stems in use, and if there
                are none the engine of the settings.
            options: Weights folder, trust, network, device; None takes the settings.
            say: Is told in words which engine was chosen and why.
            job: Progress out, cancellation in.

        Returns:
            Path of every stem by name, in the order of tracks.

        Raises:
            UsageError: There is no such engine.
            UnavailableError: The engine cannot work here; the remedy says how it could.
            InputError: The engine needs stereo, and the song is not.
            CancelledError: The job was cancelled; the next call goes on from there.
        """
        from workstation.separate.fitted import check_channels

        choice = self._choose(engine, options)
        if choice is None:
            return self.stems
        options = options or engine_options()
        if say is not None and choice.why:
            say(choice.why)
        check_channels(choice.card, self.song.source.channels, f'"{shown(self.song.title)}"')
        key = self._key(choice)
        with self._editing():
            if not self._are_made_with(choice.card.name, key):
                self._make_stems(
                    choice.card.name, choice.card.stems, options, key, job or JobContext()
                )
            elif self._state.engine != choice.card.name:
                self._save(msgspec.structs.replace(self._state, engine=choice.card.name))
        return self.stems

    def early_stems(
        self,
        engine: str | None = None,
        *,
        options: EngineOptions | None = None,
        say: Callable[[str], None] | None = None,
        job: JobContext | None = None,
    ) -> EarlyStems:
        """Separate in the background; what is finished can be played at once.

        Use it as a context manager: `with session.early_stems() as early: early.player()`.
        Arguments are those of `separate`.

        Raises:
            UsageError: There is no such engine.
            UnavailableError: The engine cannot work here; the remedy says how it could.
        """
        from workstation.studio.early import EarlyStems

        return EarlyStems(self, engine, options, say, job)

    def unfinished(
        self, engine: str | None, options: EngineOptions | None
    ) -> tuple[Path, str] | None:
        """Where `separate` with these arguments makes its stems, and their key.

        None if they are there.
        """
        choice = self._choose(engine, options)
        if choice is None or self._are_made_with(choice.card.name, self._key(choice)):
            return None
        return self._folder.work / choice.card.name, self._key(choice)

    def _key(self, choice: Choice) -> str:
        """Changes whenever the stems would be others."""
        return f"{self.song.source.sha256}:{choice.card.name}:{choice.card.revision}"

    def has_stems(self, engine: str | None) -> bool:
        """Whether `separate` with this engine probably finds its stems there."""
        name = self._state.engine if engine is None or engine == "auto" else engine
        if name not in self._state.stem_keys and name is not None:
            name = canonical(name)
        return name in self._state.stem_keys and self._is_present(str(name))

    def stem_names(self, engine: str | None, options: EngineOptions | None = None) -> list[str]:
        """Names of the stems that `separate` with these arguments gives, without the work."""
        choice = self._choose(engine, options)
        return list(self.stems if choice is None else choice.card.stems)

    def _choose(self, engine: str | None, options: EngineOptions | None) -> Choice | None:
        """The engine that would work; None if the stems in use are what is asked for."""
        in_use = self._state.engine
        if in_use is not None and (
            (engine is None and self._is_present(in_use))
            or (engine in {None, "auto"} and in_use == "imported")
        ):
            return None
        name = engine or in_use or load_settings().engine
        return choose_engine(name, options or engine_options())

    def _are_made_with(self, engine: str, key: str) -> bool:
        if self._state.stem_keys.get(engine) != key:
            return False
        return self._is_present(engine)

    def _is_present(self, engine: str) -> bool:
        return all((self.path / stem.audio.path).is_file() for stem in self._state.stems_of(engine))

    def _make_stems(
        self,
        engine: str,
        names: tuple[str, ...],
        options: EngineOptions,
        key: str,
        job: JobContext,
    ) -> None:
        from workstation.separate.stream import forget_progress, is_finished
        from workstation.separate.worker import Order, separate_in_worker

        work = self._folder.work / engine
        final = self._folder.stem_folder(engine)
        if is_finished(final, key):
            # All was done but recording it: an earlier run ended there.
            self._record_stems({name: final / f"{name}.wav" for name in names}, engine, key, job)
            forget_progress(final)
            return
        source = self.song.source
        self._check_source(job)
        with writing(self.path):
            size = 4 * len(names) * source.channels * source.frames
            need_space(self.path, size - _size_on_disk(work))
        order = Order(
            source=self.source_path.resolve(),
            engine=engine,
            options=options,
            folder=work.resolve(),
            key=key,
        )
        separate_in_worker(order, job.part(0.0, 0.95, f"Separating with {engine}"))
        self._folder.publish(work, final)
        made = {name: final / f"{name}.wav" for name in names}
        self._record_stems(made, engine, key, job.part(0.95, 1.0, "Checking the stems"))
        forget_progress(final)
        job.report(1.0)

    def _check_source(self, job: JobContext) -> None:
        """Notice a referenced song that is another one by now.

        Raises:
            InputError: It has changed.
        """
        if not Path(self.song.source.path).is_absolute():
            return
        if file_sha256(self.source_path, job.part(0.0, 0.02)) != self.song.source.sha256:
            raise InputError(
                f"{self.source_path} has changed since this session was made.",
                "Open it anew, for a session of its own.",
            )

    def _record_stems(self, made: dict[str, Path], engine: str, key: str, job: JobContext) -> None:
        """Write finished stems into the state of the session."""
        stems = []
        for index, (name, path) in enumerate(made.items()):
            step = job.part(index / len(made), (index + 1) / len(made))
            stored_as = path.relative_to(self.path).as_posix()
            stems.append(Stem(name, audio_ref(path, stored_as, step), engine))
        self._save(
            msgspec.structs.replace(
                self._state,
                stems=tuple(s for s in self._state.stems if s.engine != engine) + tuple(stems),
                stem_keys={**self._state.stem_keys, engine: key},
                engine=engine,
            )
        )

    def analyze(self, *, again: bool = False, job: JobContext | None = None) -> Analysis:
        """Find beats, tempo, meter, key, sections and loudness, or take what is there.

        Uses the drum stem for the beats if there is one.

        Args:
            again: Analyse anew and forget the earlier result, edits of the grid included.
            job: Progress out, cancellation in.
        """
        if self.analysis is not None and not again:
            return self.analysis
        from workstation.analyze import analyze

        drums_path = next((p for n, p in self.stems.items() if role_of(n) == "drums"), None)
        with open_audio(self.source_path, job=job) as source:
            if drums_path is None:
                found = analyze(source, job=job or JobContext())
            else:
                with open_audio(drums_path) as drums:
                    found = analyze(source, drums=drums, job=job or JobContext())
        with self._editing():
            self._save_analysis(found)
        return found

    def edit_grid(self, edit: Callable[[BeatGrid | None], BeatGrid]) -> BeatGrid:
        """Change the beat grid, for example `session.edit_grid(lambda grid: grid.halved())`.

        Args:
            edit: Turns the grid there is (None if no beat was found) into another one.

        Raises:
            UsageError: The edit makes no grid that holds.
        """
        try:
            grid = edit(self.analyze().grid)
        except ValueError as error:
            raise UsageError(
                f"That edit does not make a beat grid: {error}.", "Try another value."
            ) from error
        self.set_grid(grid)
        return grid

    def set_grid(self, grid: BeatGrid) -> None:
        """Replace the beat grid, for example by one made from taps."""
        self.analyze()
        with self._editing():
            assert self.analysis is not None
            self._save_analysis(msgspec.structs.replace(self.analysis, grid=grid))

    def export(  # noqa: PLR0913  (what a user may choose)
        self,
        target: str,
        *,
        take: str | None = None,
        out: Path | str | None = None,
        encoding: str | None = None,
        bar_markers: bool = False,
        overwrite: bool = False,
        layout: Path | str | None = None,
        own_project: Path | str | None = None,
        shared_stems: SharedStems | None = None,
        job: JobContext | None = None,
    ) -> ExportReport:
        """Write a project for a DAW; separates and analyses first where that is missing.

        Args:
            target: Name of a target: `reaper`, `ableton`, …; `workstation.export.TARGETS`.
            take: Name or number of a take, or `last`: the mixer of the project moves as in it.
            out: Folder in which the folder `<target>` is made; None is `exports` in the session.
            encoding: Of the audio: `pcm24`, `float32`, `flac`, `mp3`, `aac`, where the target can;
                None is that of the layout, or else `pcm24`.
            bar_markers: A marker on every bar besides those of the sections.
            overwrite: Replace an earlier export.
            layout: Name or file of a template that says what the project looks like.
            own_project: A project of your own that the stems are put into, where the target can.
            shared_stems: Of `workstation.export.shared_stems`, for several exports with one
                encoding: their stems are written once, and take their room once but for the
                programs that write into them.
            job: Progress out, cancellation in.

        Returns:
            What was written, and in words what the format could not carry.

        Raises:
            UsageError: There is no such target, take or layout, or the target cannot carry the
                encoding.
            InputError: The take was played on other stems, or the layout has a mistake.
            ExistsError: The export is there already and `overwrite` was not given.
        """
        from workstation.export import ExportOptions, export, find_target
        from workstation.export.layouts import find_layout
        from workstation.studio.layouts import laid_out
        from workstation.studio.loops import loops_beside
        from workstation.studio.project import check_take, project_of

        row = find_target(target)
        found = None if take is None else self.takes.find(take)
        if found is not None and self.engine is not None:
            check_take(self, found, self.engine)
        look = None if layout is None else find_layout(layout)
        options = ExportOptions(
            encoding=encoding or (look and look.encoding) or "pcm24",
            bar_markers=bar_markers or (look is not None and look.markers == "bars"),
            overwrite=overwrite,
            own_project=None if own_project is None else Path(own_project),
            shared_stems=shared_stems,
        )
        job = job or JobContext()
        self.separate(job=job.part(0.0, 0.7))
        if self.analysis is None:
            self.analyze(job=job.part(0.7, 0.8, "Analysing"))
        folder = self.exports if out is None else Path(out)
        with laid_out(project_of(self, found), look, job) as project:
            bars = look.loop_bars if look is not None and row.encodings else 0
            also = loops_beside(self, bars) if bars else None
            step = job.part(0.8, 1.0, "Exporting")
            return export(project, target, folder, options, step, also=also)

    # -- playing ----------------------------------------------------------------------

    @property
    def takes(self) -> TakeShelf:
        """The recorded performances: list, find, rename, delete, undo."""
        return self._folder.takes

    def player(
        self,
        output: OutputOptions | None = None,
        connections: Connections | None = None,
        *,
        say: Callable[[str], None] | None = None,
        job: JobContext | None = None,
    ) -> Player:
        """Play the stems, in a process of its own; separates and analyses first if need be.

        Use it as a context manager: `with session.player() as player: player.play()`.

        Args:
            output: Device, rate, block and channels; None takes what the system offers.
            connections: Controllers, MIDI clock and OSC; None takes all known controllers.
            say: Is told in words what the user should know.
            job: Progress out, cancellation in, for the steps before.

        Raises:
            UnavailableError: The device or controller that was named cannot be opened.
        """
        from workstation.studio.player import Player, PlayerSetup

        job = job or JobContext()
        self.separate(say=say, job=job.part(0.0, 0.8))
        self.analyze(job=job.part(0.8, 1.0, "Analysing"))
        setup = PlayerSetup(
            stems=self.stems,
            engine=str(self.engine),
            sample_rate_hz=self.song.source.sample_rate_hz,
            frames=self.song.source.frames,
            grid=self.analysis.grid if self.analysis is not None else None,
            takes=self.takes,
            mixer=self._state.mixer,
            groups=self._state.groups,
            snapshots=self._state.snapshots,
        )
        return Player(setup, output, connections, say=say, keep=self._keep_mixer)

    def _keep_mixer(
        self,
        mixer: MixerState,
        groups: dict[int, tuple[str, ...]],
        snapshots: dict[int, MixerState],
    ) -> None:
        now = (self._state.mixer, self._state.groups, self._state.snapshots)
        if now == (mixer, groups, snapshots):
            return
        with self._editing():
            state = self._state
            self._save(
                msgspec.structs.replace(state, mixer=mixer, groups=groups, snapshots=snapshots)
            )

    def render(
        self,
        out: Path | str,
        *,
        take: str | None = None,
        mixer: MixerState | None = None,
        encoding: str = "float32",
        overwrite: bool = False,
        job: JobContext | None = None,
    ) -> Rendered:
        """Mix the session, as a take performs it or as the mixer stands, to an audio file.

        What a take sounded like when it was played is what is written, sample for sample.

        Args:
            out: The file: `.wav` or `.flac`.
            take: Name or number of a take; None plays the song once through the mixer.
            mixer: How the mixer stands; None is as it was left.
            encoding: `float32`, `pcm24`, `pcm16`; `flac` follows from the name of the file.
            overwrite: Replace the file if it is there.
            job: Progress out, cancellation in.

        Raises:
            UsageError: There is no such take, or the file's name says another format.
            ExistsError: The file is there.
        """
        from workstation.studio.rendering import render_session

        job = job or JobContext()
        self.check_apart(Path(out))
        found = None if take is None else self.takes.find(take)
        if found is None or found.engine == self.engine:
            self.separate(job=job.part(0.0, 0.5))
        stems = self.stems if found is None else self._stems_of(found.engine)
        if found is not None and not stems:
            raise UsageError(
                f'The take "{found.name}" was played on the stems of {found.engine}, '
                "which are not here.",
                f"Separate with --engine {found.engine} first.",
            )
        mixer = mixer or self._state.mixer or MixerState.neutral(tuple(stems))
        return render_session(
            stems, mixer, found, Path(out), encoding, overwrite=overwrite,
            job=job.part(0.5, 1.0, "Rendering"),
        )  # fmt: skip

    def check_apart(self, out: Path) -> None:
        """Keep a file from the song and the stems it is made of, also where it may overwrite.

        Raises:
            UsageError: It would take their place.
        """
        target = out.resolve()
        kept = [self.path / "stems", self.path / "takes", self.path / ".work"]
        if target == self.source_path.resolve() or any(
            target.is_relative_to(folder.resolve()) for folder in kept
        ):
            raise UsageError(
                f"{shown(out)} is a part of the session, which a mix must not replace.",
                "Choose another name for the mix.",
            )

    # Made from the stems, each in a module of its own.
    karaoke = make_karaoke
    practice = make_practice
    loops = make_loops
    surround = make_surround

    @property
    def mixer_words(self) -> str:
        """How the mixer was left, in words; empty if it lets the song through as it is."""
        mixer = self._state.mixer
        if mixer is None:
            return ""
        words = []
        for stem in self.stems:
            strip = mixer.strips.get(stem, Strip())
            parts = [
                "muted" * strip.muted,
                "soloed" * strip.soloed,
                f"{gain_words(strip.gain_db)} dB" * (strip.gain_db != 0.0),
                "panned" * (strip.pan != 0.0),
                "filtered" * (strip.filter != 0.0),
            ]
            if any(parts):
                words.append(f"{stem} {' '.join(filter(None, parts))}")
        if mixer.master_db:
            words.append(f"master {gain_words(mixer.master_db)} dB")
        return ", ".join(words)

    def reset_mixer(self) -> None:
        """Forget how the mixer was left: every stem as it is."""
        with self._editing():
            self._save(msgspec.structs.replace(self._state, mixer=None))

    def _stems_of(self, engine: str | None) -> dict[str, Path]:
        stems = self._state.stems_of(engine)
        return {stem.name: self._folder.audio_path(stem.audio) for stem in stems}

    # -- keeping ----------------------------------------------------------------------

    def _save_analysis(self, analysis: Analysis) -> None:
        song = msgspec.structs.replace(self._state.song, analysis=analysis)
        self._save(msgspec.structs.replace(self._state, song=song))

    def _save(self, state: SessionState) -> None:
        self._folder.save(state)
        self._state = state

    @contextmanager
    def _editing(self) -> Iterator[None]:
        """Hold the lock, and start from what is on disk: another process may have written."""
        with self._folder.locked():
            self._state = self._folder.load()
            yield


def audio_ref(path: Path, stored_as: str, job: JobContext) -> AudioRef:
    """Describe an audio file for the session."""
    info = probe(path)
    return AudioRef(
        stored_as, file_sha256(path, job), info.sample_rate_hz, info.channels, info.frames
    )


def engine_options(
    *,
    models_dir: Path | None = None,
    trust: bool = False,
    offline: bool = False,
    device: str | None = None,
    precision: str | None = None,
) -> EngineOptions:
    """Options for engines: what is not given comes from the settings."""
    settings = load_settings()
    if models_dir is None and settings.models_dir:
        models_dir = Path(settings.models_dir).expanduser()
    return EngineOptions(
        models_dir=models_dir,
        trust=trust,
        offline=offline or settings.offline,
        device=device,
        precision=precision,
    )


def _size_on_disk(folder: Path) -> int:
    """Bytes that the files of a folder take; one that is still empty inside takes few."""
    sizes = [path.stat() for path in folder.glob("*")] if folder.is_dir() else []
    return sum(getattr(s, "st_blocks", 0) * 512 for s in sizes)
