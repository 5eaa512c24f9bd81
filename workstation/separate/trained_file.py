"""The file of a trained network: numbers as safetensors, and in its header what they mean.

The header's metadata hold one entry, `workstation`: JSON of `TrainedHeader`. Everything in it is
checked against bounds, and names and shapes of all tensors against the network that it describes,
before that is built. Nothing in such a file can be run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from workstation.audio import atomic_file
from workstation.model import InputError
from workstation.model.names import shown
from workstation.separate.checkpoint import safetensors_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_ENTRY = "workstation"
_REMEDY = "Take another file, or train the network again with `workstation train`."

StemName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,63}\Z")]
_Count = Annotated[int, Meta(ge=0, le=10**12)]
_Decibels = Annotated[float, Meta(ge=-1000.0, le=1000.0)]


class WaveformSizes(msgspec.Struct, frozen=True, tag="waveform", forbid_unknown_fields=True):
    """Sizes of the network on samples; with these it has 2.8 million parameters.

    Attributes:
        width: Channels of the first level; each further one has twice as many.
        levels: How often the frames are quartered.
        recurrent: Units of the LSTM, in each direction.
    """

    width: Annotated[int, Meta(ge=1, le=512)] = 14
    levels: Annotated[int, Meta(ge=1, le=7)] = 5
    recurrent: Annotated[int, Meta(ge=1, le=4096)] = 200


class SpectrogramSizes(msgspec.Struct, frozen=True, tag="spectrogram", forbid_unknown_fields=True):
    """Sizes of the network on spectra; with these it has 2.8 million parameters.

    Attributes:
        window: Samples of a window; windows start a quarter of this apart.
        width: Channels inside.
        blocks: Residual blocks; their dilations are 1, 2, 4, 8, 1, 2, …
    """

    window: Annotated[int, Meta(ge=16, le=1 << 15, multiple_of=4)] = 2048
    width: Annotated[int, Meta(ge=1, le=4096)] = 150
    blocks: Annotated[int, Meta(ge=1, le=64)] = 8


class NetworkPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network is built from.

    Attributes:
        network: Its kind and sizes.
        stems: Names of the stems, in its order.
        sample_rate_hz: Sample rate of the songs it learns from.
        channels: 1 or 2.
    """

    network: WaveformSizes | SpectrogramSizes
    stems: Annotated[tuple[StemName, ...], Meta(min_length=2, max_length=32)]
    sample_rate_hz: Annotated[int, Meta(ge=1000, le=768000)]
    channels: Annotated[int, Meta(ge=1, le=2)]

    def __post_init__(self) -> None:
        if len({stem.lower() for stem in self.stems}) < len(self.stems):
            raise ValueError("two of its stems have one name")


class StemFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well a stem of the held-out songs is separated, in dB.

    Attributes:
        sdr_db: Signal to distortion of the network, mean over the songs; None where the stem
            is silent in all of them.
        mix_sdr_db: The same of the mix divided by the number of stems.
    """

    sdr_db: _Decibels | None
    mix_sdr_db: _Decibels | None


class TrainedHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trained file says of itself.

    Attributes:
        plan: What the network is built from.
        songs: How many songs it learnt from.
        seconds: How much audio these are.
        steps: How many batches it saw.
        held_out: How many songs its figures are from.
        figures: By stem.
    """

    plan: NetworkPlan
    songs: _Count
    seconds: Annotated[float, Meta(ge=0, le=1e9)]
    steps: _Count
    held_out: _Count
    figures: dict[StemName, StemFigures]

    def __post_init__(self) -> None:
        if set(self.figures) != set(self.plan.stems):
            raise ValueError("its figures are not those of its stems")


def is_trained(path: Path) -> bool:
    """Whether a file says that it is ours; it may be damaged all the same."""
    if path.suffix != ".safetensors":
        return False
    try:
        return _ENTRY in safetensors_metadata(path)
    except (OSError, LookupError, TypeError, ValueError, RecursionError, MemoryError):
        return False  # Then it is for others to say what is wrong with it.


def read_trained(path: Path) -> TrainedHeader:
    """Read what a trained file says of itself, without torch.

    Raises:
        InputError: The file cannot be read, or is no such file.
    """
    try:
        return _decode(safetensors_metadata(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise _broken(path, error) from error


def load_trained(path: Path) -> tuple[TrainedHeader, nn.Module]:
    """Load a trained network, on the processor, ready to be applied.

    Raises:
        InputError: The file cannot be read, is no such file, or does not fit its own header.
    """
    from safetensors import SafetensorError, safe_open

    from workstation.separate.networks import build

    try:
        # Asked of the reader that loads the file: another one might read it differently.
        with safe_open(str(path), framework="pt") as file:
            header = _decode(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        check_shapes(header.plan, tensors)
        _check_numbers(tensors)
        network = build(header.plan)
        network.load_state_dict(tensors)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise _broken(path, error) from error
    return header, network.eval()


def write_trained(path: Path, header: TrainedHeader, tensors: Mapping[str, Tensor]) -> None:
    """Write a trained file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    write_tensors(path, tensors, {_ENTRY: msgspec.json.encode(header).decode()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    from safetensors.torch import save

    content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def check_shapes(plan: NetworkPlan, found: Mapping[str, Tensor]) -> None:
    """Hold tensors against the network of a plan, before memory is taken for that.

    Raises:
        ValueError: They are not its parameters.
    """
    import torch

    from workstation.separate.networks import build

    with torch.device("meta"):
        wanted = build(plan).state_dict()
    for name in sorted(wanted.keys() | found.keys()):
        mine, its = found.get(name), wanted.get(name)
        if mine is None or its is None or (mine.dtype, mine.shape) != (its.dtype, its.shape):
            raise ValueError(f'its tensor "{name}" is not that of its network')


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f'its tensor "{name}" holds values that are no numbers')


def _decode(metadata: dict[str, str]) -> TrainedHeader:
    return msgspec.json.decode(metadata[_ENTRY], type=TrainedHeader)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{shown(path)} cannot be read: {error.strerror or error}.",
        "Mend its permissions, or choose another file.",
    )


def _broken(path: Path, error: Exception) -> InputError:
    words = " ".join(str(error).split()) or type(error).__name__
    words = words if len(words) <= 160 else words[:157] + "..."
    return InputError(f"{shown(path)} is damaged or no trained network: {shown(words)}.", _REMEDY)
