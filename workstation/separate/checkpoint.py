"""Checkpoints of demucs networks: what is in a file, and loading it without running its code.

A `.th` file is a pickle, that is, a program. It is loaded only if its SHA-256 is that of a
published file or the user trusts it; what can be told before that is read with stand-ins for
everything the pickle names. A `.safetensors` file holds numbers, but names the class to build: only
the three network classes of demucs are accepted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from workstation.model import InputError, UnavailableError
from workstation.separate.weights import PUBLISHED_SHA256

if TYPE_CHECKING:
    from torch import nn

# The older name of HDemucs stands in some published checkpoints.
_CLASSES = {
    "demucs.htdemucs.HTDemucs": "HTDemucs",
    "demucs.hdemucs.HDemucs": "HDemucs",
    "demucs.wdemucs.WDemucs": "HDemucs",
    "demucs.demucs.Demucs": "Demucs",
}
_DIFFQ_CLASSES = {"diffq.diffq.DiffQuantizer", "diffq.uniform.UniformQuantizer"}
_STEM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_MAX_HEADER_BYTES = 32 << 20
_NOT_A_CHECKPOINT = "Get it again, or choose another file; demucs writes checkpoints as .th."
# Everything that reading a broken pickle, zip or JSON may raise.
_MALFORMED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointHeader(msgspec.Struct, frozen=True):
    """What a checkpoint says of its network.

    Attributes:
        network: `HTDemucs`, `HDemucs` or `Demucs`.
        stems: Names of the stems, in the order of the network.
        sample_rate_hz: Sample rate it works at.
        channels: Channels it takes.
        quantized: Whether it needs the package diffq.
    """

    network: str
    stems: tuple[str, ...]
    sample_rate_hz: int
    channels: int
    quantized: bool


def read_header(path: Path) -> CheckpointHeader:
    """Read what a checkpoint says of its network, without torch and without running code.

    Raises:
        InputError: The file cannot be read, or is no checkpoint of a demucs network.
    """
    try:
        read = _safetensors_header if path.suffix == ".safetensors" else _pickle_header
        header = read(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except _MALFORMED as error:
        raise InputError(
            f"{path} is damaged or no checkpoint of demucs: {_one_line(error)}.", _NOT_A_CHECKPOINT
        ) from error
    return header


def load_checkpoint(path: Path, *, trust: bool) -> nn.Module:
    """Load a network from a checkpoint, on the processor, ready to be applied.

    Args:
        path: A `.safetensors` file as demucs publishes them, or a `.th` file.
        trust: Load a `.th` file although its SHA-256 is not that of a published one.

    Raises:
        InputError: The file is damaged, no checkpoint, or not to be trusted.
        UnavailableError: The network is quantized and the package diffq is not installed.
    """
    is_pickle = path.suffix != ".safetensors"
    content = _trusted_bytes(path, trust=trust) if is_pickle else b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _from_pickle(content) if is_pickle else _from_safetensors(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except _MALFORMED as error:
        raise InputError(
            f"{path} is damaged or no checkpoint of demucs: {_one_line(error)}.", _NOT_A_CHECKPOINT
        ) from error
    model.eval()
    return model


def _from_safetensors(path: Path) -> nn.Module:
    from demucs.hf import load_safetensors_model
    from safetensors import SafetensorError, safe_open

    try:
        # Asked of the reader that loads the file: another one might read it differently.
        with safe_open(str(path), framework="pt") as file:
            header = _metadata_header(file.metadata() or {})
        _check_diffq(quantized=header.quantized)
        model: nn.Module = load_safetensors_model(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return model


def _from_pickle(content: bytes) -> nn.Module:
    from demucs.states import load_model

    package = _unpickle(content)
    klass = package["klass"]
    if f"{klass.__module__}.{klass.__qualname__}" not in _CLASSES:
        raise ValueError(f"it names {klass}")
    _check_diffq(quantized=bool(package["state"].get("__quantized")))
    build: Callable[[dict[str, Any]], nn.Module] = load_model
    return build(package)


def _check_diffq(*, quantized: bool) -> None:
    if quantized and importlib.util.find_spec("diffq") is None:
        raise UnavailableError(
            "This model is quantized, and the package diffq is not installed.",
            "pip install diffq (its licence is CC BY-NC 4.0), or choose a model without _q.",
        )


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be read: {error.strerror or error}.",
        "Mend its permissions, or choose another file.",
    )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


# -- headers --------------------------------------------------------------------------


def _safetensors_header(path: Path) -> CheckpointHeader:
    return _metadata_header(safetensors_metadata(path))


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, without torch.

    They stand in the JSON at the start (format: length as 8 bytes little-endian, then the JSON).

    Raises:
        OSError: The file cannot be read.
        ValueError, KeyError: It is no safetensors file, or has no metadata.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _MAX_HEADER_BYTES:
            raise ValueError("it is no safetensors file")
        text = file.read(length)
    metadata: dict[str, str] = json.loads(text)["__metadata__"]
    return metadata


def _metadata_header(metadata: dict[str, str]) -> CheckpointHeader:
    structure = json.loads(metadata.get("structure", "null"))
    for named in _named_classes(structure):
        if named not in _DIFFQ_CLASSES:
            raise ValueError(f"it names {named}")
    return _header(
        metadata["klass"],
        json.loads(metadata["args"]),
        json.loads(metadata["kwargs"]),
        quantized=structure is not None,
    )


def _named_classes(node: object) -> list[str]:
    """Every class that the structure of a quantized state names."""
    if isinstance(node, dict):
        own = [str(node["_class"])] if "_class" in node else []
        return own + [name for value in node.values() for name in _named_classes(value)]
    if isinstance(node, list):
        return [name for value in node for name in _named_classes(value)]
    return []


def _pickle_header(path: Path) -> CheckpointHeader:
    """Read the pickle of a torch file (a zip archive) with stand-ins for all it names."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"])
        if archive.getinfo(name).file_size > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        package = _InertUnpickler(io.BytesIO(archive.read(name))).load()
    return _header(
        package["klass"].full_name,
        list(package["args"]),
        package["kwargs"],
        quantized=bool(package["state"].get("__quantized")),
    )


class _StandIn(dict[Any, Any]):
    """Stands in for any class or function of a pickle; being built and filled does nothing."""

    full_name = ""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> _StandIn:
        return self

    def append(self, _: object) -> None:
        """Take an item of what the pickle believes to be a list."""

    def extend(self, _: object) -> None:
        """Take items of what the pickle believes to be a list."""


class _InertUnpickler(pickle.Unpickler):
    """Reads the structure of a pickle; nothing that it names is imported or called."""

    def find_class(self, module_name: str, global_name: str, /) -> type[_StandIn]:
        return type(global_name, (_StandIn,), {"full_name": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: object) -> None:
        """Leave out the numbers of tensors, which lie in other files of the archive."""


def _header(
    klass: str, args: list[Any], kwargs: dict[str, Any], *, quantized: bool
) -> CheckpointHeader:
    if klass not in _CLASSES:
        raise ValueError(f"it names {klass}")
    stems = args[0] if args else kwargs["sources"]
    if not isinstance(stems, list) or not stems or len(set(stems)) != len(stems):
        raise ValueError("its list of stems is no list of names")
    for stem in stems:
        if not isinstance(stem, str) or not _STEM_NAME.fullmatch(stem):
            raise ValueError(f"{stem!r} is no name for a stem")
    channels = args[1] if len(args) > 1 else kwargs.get("audio_channels", 2)
    rate = kwargs.get("samplerate", 44100)
    if not (isinstance(channels, int) and 1 <= channels <= 64):
        raise ValueError(f"it has {channels} channels")
    if not (isinstance(rate, int | float) and math.isfinite(rate) and 1000 <= rate <= 768000):
        raise ValueError(f"its sample rate is {rate}")
    return CheckpointHeader(_CLASSES[klass], tuple(stems), round(rate), channels, quantized)


# -- pickles --------------------------------------------------------------------------


def _trusted_bytes(path: Path, *, trust: bool) -> bytes:
    """Content of a `.th` file that may be loaded: it is published, or the user trusts it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if trust or hashlib.sha256(content).hexdigest() in PUBLISHED_SHA256.values():
        return content
    if path.stem.partition("-")[0] in PUBLISHED_SHA256:
        raise InputError(
            f"{path} is not the published file of that name: it is damaged, or another one.",
            "Delete it, so that it is downloaded again, or add --trust if you know who made it.",
        )
    raise InputError(
        f"{path} is of unknown origin, and a .th file can run any program when it is loaded.",
        "Convert it to .safetensors, or add --trust if you know who made it.",
    )


def _unpickle(content: bytes) -> dict[str, Any]:
    """Load a trusted `.th`, still without running code wherever that is possible."""
    import torch

    try:
        with torch.serialization.safe_globals(_harmless()):
            package: dict[str, Any] = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
    except (pickle.UnpicklingError, AttributeError):
        # It names something else, or this torch takes no old names. Either way the file is known
        # by its SHA-256, or trusted by the user: see `_trusted_bytes`.
        package = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    return package


def _harmless() -> list[Any]:
    """What a demucs checkpoint names beside tensors: its class, fractions, NumPy numbers."""
    from fractions import Fraction

    import numpy as np
    from demucs.demucs import Demucs
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    number = np.float64(0)
    scalar = number.__reduce__()[0]
    return [
        Demucs,
        HDemucs,
        HTDemucs,
        Fraction,
        np.dtype,
        type(number.dtype),
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        (HDemucs, "demucs.wdemucs.WDemucs"),
    ]
