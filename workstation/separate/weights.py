"""The weights of the demucs family: which there are, where they lie, how they are had.

Nothing here imports torch, and finding weights opens no network connection.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from workstation.audio import writing
from workstation.config import cache_dir
from workstation.model import InputError, JobContext, LockedError, UnavailableError, UsageError
from workstation.separate.download import DownloadError, any_answers, fetch
from workstation.separate.protocol import EngineOptions
from workstation.session.lock import SessionLock

FOUR_STEMS = ("drums", "bass", "other", "vocals")
LICENCE = (
    "unclear: in 2022-23 the author called them not covered by the MIT licence and only for "
    "scientific purposes; his hub copies of July 2026 say MIT"
)
META_URL = "https://dl.fbaipublicfiles.com/demucs"
HUB_OWNER = "adefossez"
_MAX_BAG_BYTES = 1 << 16
_HASHED_NAME = re.compile(r"(.+)-[0-9a-f]{8}")


class Bag(msgspec.Struct, frozen=True):
    """Networks whose stems are averaged; the content of a demucs bag file `name.yaml`.

    Attributes:
        models: Signatures: names of the checkpoints.
        weights: Share of each network (row) in each stem (column); None for equal shares.
        segment: Seconds a network sees at once; None for what each was made for.
    """

    models: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...] | None = None
    segment: float | None = None


class DemucsModel(msgspec.Struct, frozen=True, kw_only=True):
    """A published model.

    `realtime_factor` scales the 0.41 measured for htdemucs (two cores, demucs 4.1, overlap 0.25)
    by the measured cost of each network of the bag: htdemucs 1, its six-stem sister 0.75,
    Hybrid Demucs 0.51, Demucs 0.53.
    """

    name: str
    summary: str
    bag: Bag
    stems: tuple[str, ...] = FOUR_STEMS
    megabytes: int
    realtime_factor: float
    source: str
    quantized: bool = False

    @property
    def hub_repository(self) -> str:
        """Name of its repository on the Hugging Face hub."""
        if self.name == "htdemucs":
            return "HTDemucs"
        if self.name.startswith("htdemucs_"):
            return "HTDemucs-" + self.name.removeprefix("htdemucs_")
        return "Demucs-" + self.name


_HT = "Rouard, Massa, Défossez: Hybrid Transformers for Music Source Separation (ICASSP 2023)"
_HYBRID = "Défossez: Hybrid Spectrogram and Waveform Source Separation (MDX workshop 2021)"
_MDX_SHARES = (
    (1.0, 1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (1.0, 0.0, 1.0, 1.0),
    (1.0, 0.0, 1.0, 1.0),
)
_LEAK = "trained on the MUSDB18 test set as well, so scores on it mean nothing"

MODELS: dict[str, DemucsModel] = {model.name: model for model in (
    DemucsModel(
        name="htdemucs", summary="Hybrid Transformer Demucs: the best quality for its cost",
        bag=Bag(("955717e8",)), megabytes=84, realtime_factor=0.41, source=_HT,
    ),
    DemucsModel(
        name="htdemucs_ft", summary="htdemucs tuned for each stem: slightly better, 4 times slower",
        bag=Bag(("f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"),
                tuple(tuple(float(i == k) for i in range(4)) for k in range(4))),
        megabytes=336, realtime_factor=1.64, source=_HT,
    ),
    DemucsModel(
        name="htdemucs_6s", summary="Six stems; guitar is usable, piano is weak",
        bag=Bag(("5c90dfd2",)), stems=(*FOUR_STEMS, "guitar", "piano"),
        megabytes=55, realtime_factor=0.31, source=_HT,
    ),
    DemucsModel(
        name="hdemucs_mmi", summary="Hybrid Demucs v3: no transformer, half the cost of htdemucs",
        bag=Bag(("75fc33f5",), segment=44), megabytes=167, realtime_factor=0.21, source=_HYBRID,
    ),
    DemucsModel(
        name="mdx", summary="Four networks trained on MUSDB18-HQ alone (MDX challenge, track A)",
        bag=Bag(("0d19c1c6", "7ecf8ec1", "c511e2ab", "7d865c68"), _MDX_SHARES, 44),
        megabytes=691, realtime_factor=0.85, source=_HYBRID,
    ),
    DemucsModel(
        name="mdx_extra", summary=f"Four networks of the MDX challenge, track B; {_LEAK}",
        bag=Bag(("e51eebcc", "a1d90b5c", "5d2d6c55", "cfa93e08"), segment=44),
        megabytes=669, realtime_factor=0.84, source=_HYBRID,
    ),
    DemucsModel(
        name="mdx_q", summary="mdx, quantized: a quarter of the download, slightly worse",
        bag=Bag(("6b9c2ca1", "b72baf4e", "42e558d4", "305bc58f"), _MDX_SHARES, 44),
        megabytes=170, realtime_factor=0.85, source=_HYBRID, quantized=True,
    ),
    DemucsModel(
        name="mdx_extra_q", summary=f"mdx_extra, quantized: a quarter of the download; {_LEAK}",
        bag=Bag(("83fc094f", "464b36d7", "14fc6a69", "7fd6ef75"), segment=44),
        megabytes=170, realtime_factor=0.84, source=_HYBRID, quantized=True,
    ),
)}  # fmt: skip

# SHA-256 of the published checkpoints by signature. The first eight digits stand in demucs'
# own list of files; the full digests are those of demucs-infer's public registry, 2026.
PUBLISHED_SHA256 = {
    "955717e8": "8726e21a993978c7ba086d3872e7608d7d5bfca646ca4aca459ffda844faa8b4",
    "f7e0c4bc": "ba3fe64ae8ef66ac9a4857222ce48efbdc5eb3ad375cb79dd13debee5aaa4066",
    "d12395a8": "e57c48e6b0e38af4f7118d7bd08c49f0a0c0edf7d09143bdd902ea0d237303e6",
    "92cfc3b6": "ef3bcb9c8b40d14ae5d51b6db2587339cc12c6b77c0be151ce6d69002e087bf2",
    "04573f0d": "f3cf25b222c4eed7cd49dd8b2c9597d50c18bd154090f7b919cfa5f93cf22c49",
    "5c90dfd2": "34c22ccb381c6f9fdbf324f04e1e2fe21aaaf293f5ded163a162697ff9a02ddd",
    "75fc33f5": "1941ce654b11df4132b9f4eae408556b4c83fad6fe26b4bc0dbcb36b975befb3",
    "0d19c1c6": "0f06f20ed6ddc8058fa72ccc4845f3a88916eff7d007b623924193de217bbcf4",
    "7ecf8ec1": "70f50cc947d08f32e6dd8e2b687d398fa5ef9e51d1bd7600e32205d1f44be6b9",
    "c511e2ab": "fe6987756a7087d339bf63b19bb481b12cea02d3bc0de7583df7597210209649",
    "7d865c68": "3d5dd56b5bc986f136dff98655ded22b2b033f465ccec7a28640a6b15fd71ed6",
    "e51eebcc": "c1b80bdd6de58274abf359e66822a76f49ce2b9f086fc5dc917ac14598e6bebf",
    "a1d90b5c": "ae9d245283bf24b552913ee233a1101dcd0aeaed59b1c0a2da0e1f6eda15101b",
    "5d2d6c55": "db83574e05b2308f76e2764819da673f2d16d437b9e619f5fcb72f275fc0e24f",
    "cfa93e08": "61801ae1567d606c97a9c3469e943ae306d0a873eeb60d623ae7cfc7042b3f68",
    "6b9c2ca1": "3fd82607b051e9f8ed0e86a30791023a3b589a427fb994c8bbfdff8c1903eeff",
    "b72baf4e": "8778635e98a9d4b34b3d132300597758f8f3f2978510eb20c202fd0d54a7bbf0",
    "42e558d4": "196e0e1bc5e83ea6ffbf0750b1abae1305b83de12ec98e5b50915a7139c52759",
    "305bc58f": "18378783cf76d44213f7a0c87da872a35b976c31ac11c4b367438b4674a2f0fe",
    "83fc094f": "4a16d450fd8c9277494e23865cadaa4a3e64141c45411d84243b8c95ea4b7cae",
    "464b36d7": "e5a9386ecbf6f30bb2bdc7ae162f471d87f3b5bffba1a8cb2cebe4403280967e",
    "14fc6a69": "a89dd0eeb547221dcfd6c0a47baa768ce0bce548eaf86b9a404d6b1088b5d22f",
    "7fd6ef75": "a905dd8548f7389f1a3686c24c09d7bee61b716e3372e778e2acec88333ecdf4",
}


class WeightsState(msgspec.Struct, frozen=True):
    """Where the weights of a model are.

    Attributes:
        name: The model.
        files: Checkpoint by signature, of those that are on this machine.
        missing: Signatures of those that are not.
        downloadable: Whether all that is missing is published (and can be had with a network).
    """

    name: str
    files: dict[str, Path]
    missing: tuple[str, ...]
    downloadable: bool

    @property
    def available(self) -> bool:
        """Whether everything is on this machine."""
        return not self.missing

    @property
    def words(self) -> str:
        """The state in words for a table."""
        if self.available:
            return "here"
        return "can be downloaded" if self.downloadable else f"incomplete: no {self.missing[0]}"


def find_weights(name: str, options: EngineOptions) -> WeightsState:
    """Look where the weights of a model are: the user's folder, our cache, the hub's, torch's.

    Files are not read; a damaged one is noticed when it is loaded.

    Raises:
        UsageError: There is no such model; the remedy suggests a near name.
        InputError: The user's folder is not there, or its bag file is no bag.
    """
    local = _local_checkpoints(options.models_dir)
    places = {
        signature: local.get(signature) or _cached(signature)
        for signature in find_bag(name, options.models_dir).models
    }
    missing = tuple(signature for signature, path in places.items() if path is None)
    return WeightsState(
        name,
        {signature: path for signature, path in places.items() if path is not None},
        missing,
        all(signature in PUBLISHED_SHA256 for signature in missing),
    )


def find_bag(name: str, models_dir: Path | None) -> Bag:
    """Find the networks that a model consists of; the user's folder comes first.

    Raises:
        UsageError: There is no such model; the remedy suggests a near name.
        InputError: The user's folder is not there, or its bag file is no bag.
    """
    bags = _local_bags(models_dir)
    if name in bags:
        return _read_bag(bags[name])
    if name in _local_checkpoints(models_dir):
        return Bag((name,))
    if name in MODELS:
        return MODELS[name].bag
    near = difflib.get_close_matches(name, [*MODELS, *local_models(models_dir)], n=1)
    raise UsageError(
        f'There is no model "{name}".',
        f'Did you mean "{near[0]}"?' if near else f"Models: {', '.join(MODELS)}.",
    )


def is_local(name: str, models_dir: Path | None) -> bool:
    """Tell whether a model is the user's own and not the published one of that name."""
    published = MODELS.get(name)
    return published is None or find_bag(name, models_dir).models != published.bag.models


def local_models(models_dir: Path | None) -> list[str]:
    """Names of the models in the user's folder: bags, and checkpoints that belong to no bag.

    Raises:
        InputError: The folder is not there, or two files in it have one name.
    """
    bags = _local_bags(models_dir)
    members = set(PUBLISHED_SHA256)
    for path in bags.values():
        try:
            members.update(_read_bag(path).models)
        except InputError:
            continue  # The bag is listed all the same, and says what is wrong when it is used.
    return sorted({*bags, *(_local_checkpoints(models_dir).keys() - members)} - MODELS.keys())


def require_weights(name: str, options: EngineOptions) -> WeightsState:
    """Find the weights of a model and make sure that those missing can be downloaded.

    Raises:
        UnavailableError: They are not on this machine and cannot be had.
        UsageError, InputError: As `find_weights`.
    """
    state = find_weights(name, options)
    if state.available:
        return state
    if not state.downloadable:
        absent = next(s for s in state.missing if s not in PUBLISHED_SHA256)
        raise UnavailableError(
            f'The model {name} needs the checkpoint "{absent}", which is not in '
            f"{options.models_dir}.",
            f"Copy {absent}.safetensors there.",
        )
    if options.offline:
        raise _cannot_be_had(state, "the network is not to be used")
    if not network_reachable():
        raise _cannot_be_had(state, "the network is not reachable")
    return state


def obtain_weights(name: str, options: EngineOptions, job: JobContext) -> dict[str, Path]:
    """Give the checkpoints of a model by signature, after downloading those that are missing.

    Raises:
        UnavailableError: They are not on this machine and cannot be had.
        OutputError: The cache cannot be written.
        CancelledError: The job was cancelled; what was got is kept.
        UsageError, InputError: As `find_weights`.
    """
    state = require_weights(name, options)
    for index, signature in enumerate(state.missing):
        step = job.part(
            index / len(state.missing), (index + 1) / len(state.missing), f"downloading {name}"
        )
        _download(signature, state, step)
    return find_weights(name, options).files


def network_reachable() -> bool:
    """Tell in at most three seconds whether weights can be downloaded; remembered for the run."""
    return any_answers(
        (
            published_url("955717e8"),
            f"{_hub_url('955717e8').rpartition('/')[0]}/htdemucs.yaml",
        )
    )


def published_name(signature: str) -> str:
    """File name of a published checkpoint, as demucs and torch know it."""
    return f"{signature}-{PUBLISHED_SHA256[signature][:8]}.th"


def published_url(signature: str) -> str:
    """Address of a published checkpoint."""
    model = _model_of(signature)
    mdx = model.name.startswith("mdx")
    return f"{META_URL}/{'mdx_final' if mdx else 'hybrid_transformer'}/{published_name(signature)}"


def _model_of(signature: str) -> DemucsModel:
    return next(model for model in MODELS.values() if signature in model.bag.models)


def _hub_url(signature: str) -> str:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    repository = _model_of(signature).hub_repository
    return f"{endpoint}/{HUB_OWNER}/{repository}/resolve/main/{signature}.safetensors"


def _cannot_be_had(state: WeightsState, why: str) -> UnavailableError:
    urls = ", ".join(published_url(signature) for signature in state.missing)
    return UnavailableError(
        f"The weights of {state.name} are not on this machine, and {why}.",
        f"Copy {urls} into a folder and name it with --models-dir, or use --engine dsp, which "
        "needs no weights.",
    )


# -- the user's folder ----------------------------------------------------------------


def _listing(models_dir: Path | None) -> list[Path]:
    if models_dir is None:
        return []
    try:
        return sorted(
            path
            for path in models_dir.iterdir()
            if path.is_file() and not path.name.startswith(".")
        )
    except OSError as error:
        raise InputError(
            f"The folder of models {models_dir} cannot be read: {error.strerror}.",
            "Name an existing folder with --models-dir.",
        ) from error


def _local_bags(models_dir: Path | None) -> dict[str, Path]:
    return {path.stem: path for path in _listing(models_dir) if path.suffix == ".yaml"}


def _local_checkpoints(models_dir: Path | None) -> dict[str, Path]:
    """Checkpoints by signature; safetensors win over pickles of the same name.

    Looking names up here, and never joining them to a path, keeps bags inside their folder.
    """
    found: dict[str, Path] = {}
    for path in _listing(models_dir):
        if path.suffix == ".th":
            hashed = _HASHED_NAME.fullmatch(path.stem)
            signature = hashed.group(1) if hashed else path.stem
            if signature in found:
                raise InputError(
                    f'{found[signature]} and {path.name} are both the checkpoint "{signature}".',
                    "Remove one of them.",
                )
            found[signature] = path
    found.update({p.stem: p for p in _listing(models_dir) if p.suffix == ".safetensors"})
    return found


def _read_bag(path: Path) -> Bag:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BAG_BYTES + 1)
        if len(text) > _MAX_BAG_BYTES:
            raise msgspec.ValidationError("it is too long")
        bag = msgspec.yaml.decode(text, type=Bag)
        if not bag.models:
            raise msgspec.ValidationError("it names no model")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a bag of models: {' '.join(str(error).split())}.",
            "A bag reads like: models: ['signature'], optionally with weights and segment.",
        ) from error
    for signature in bag.models:
        if not signature or signature[0] == "." or set(signature) & set("/\\"):
            raise InputError(
                f'The bag {path} names the model "{signature}", which is no plain name.',
                "Put the checkpoint into the same folder and name it without its path.",
            )
    return bag


# -- caches ---------------------------------------------------------------------------


def _weights_dir() -> Path:
    return cache_dir() / "weights"


def _cached(signature: str) -> Path | None:
    """Find a published checkpoint in our cache, the hub's or torch's."""
    if signature not in PUBLISHED_SHA256:
        return None
    name = published_name(signature)
    candidates = [
        _weights_dir() / name,
        _weights_dir() / f"{signature}.safetensors",
        *_in_hub_cache(signature),
        _torch_home() / "hub" / "checkpoints" / name,
    ]
    return next((path for path in candidates if path.is_file()), None)


def _in_hub_cache(signature: str) -> list[Path]:
    """Snapshots of the checkpoint in the Hugging Face cache, that of the branch `main` first."""
    repository = _model_of(signature).hub_repository
    folder = _hub_cache() / f"models--{HUB_OWNER}--{repository}"
    snapshots = sorted(folder.glob(f"snapshots/*/{signature}.safetensors"))
    try:
        newest = (folder / "refs" / "main").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return snapshots
    return sorted(snapshots, key=lambda path: path.parent.name != newest)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME", str(_user_cache() / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()


def _torch_home() -> Path:
    return Path(os.environ.get("TORCH_HOME", str(_user_cache() / "torch"))).expanduser()


# -- downloading ----------------------------------------------------------------------


def _download(signature: str, state: WeightsState, job: JobContext) -> None:
    """Get a checkpoint into our cache: Meta's file, whose SHA-256 is known, else the hub's.

    The hub's file is held against the SHA-256 that the hub announces; as safetensors it can
    run no code.
    """
    folder = _weights_dir()
    with writing(folder), ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        _enter_alone(stack, folder, job)
        if _cached(signature) is not None:  # Another process was faster.
            return
        try:
            fetch(
                published_url(signature),
                folder / published_name(signature),
                job,
                sha256=PUBLISHED_SHA256[signature],
            )
        except DownloadError as first:
            try:
                fetch(_hub_url(signature), folder / f"{signature}.safetensors", job)
            except DownloadError as second:
                raise _cannot_be_had(state, f"{first}; {second}") from second


def _enter_alone(stack: ExitStack, folder: Path, job: JobContext) -> None:
    """Wait until no other process downloads."""
    while True:
        job.check()
        try:
            stack.enter_context(SessionLock(folder))
        except LockedError:
            job.report(0.0, "waiting for another process that downloads weights")
            time.sleep(0.2)
        else:
            return
