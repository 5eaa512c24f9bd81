"""Conversion of a checkpoint for OpenVINO: `python -m workstation.separate.openvino_export`.

It runs in a process of its own, so that torch leaves no memory behind; see `child`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from typing import Any

import msgspec
import numpy as np

from workstation.audio import writing
from workstation.model import EngineError, JobContext
from workstation.separate.checkpoint import load_checkpoint
from workstation.separate.child import decode_path, take_order
from workstation.separate.openvino_network import (
    FACTS_FILE,
    IR_FILE,
    Conversion,
    Facts,
    OpenVinoNetwork,
)
from workstation.separate.protocol import FloatArray


def _convert(order: bytes, job: JobContext) -> dict[str, float]:
    """Convert a checkpoint into a folder that is there only when it is complete."""
    _keep_to_ourselves()
    wanted = _decode(order)
    model: Any = load_checkpoint(wanted.checkpoint, trust=wanted.trust)
    if wanted.segment_s is not None:
        model.segment = wanted.segment_s
    _check_kind(model)
    job.check()
    parent = wanted.folder.parent
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(prefix=".partial-", dir=parent)
    try:
        place = wanted.folder.with_name(os.path.basename(partial))  # noqa: PTH119
        expected, mix = _trace_and_save(model, str(place / IR_FILE))
        facts = Facts(int(model.segment * model.samplerate), model.nfft, model.channels, {})
        (place / FACTS_FILE).write_bytes(msgspec.json.encode(facts))
        network = OpenVinoNetwork(place)
        agreement = {
            precision: _agreement_db(network, precision, mix, expected)
            for precision in _precisions()
        }
        with writing(place):
            facts = msgspec.structs.replace(facts, agreement_db=agreement)
            (place / FACTS_FILE).write_bytes(msgspec.json.encode(facts))
            for path in place.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            if not wanted.folder.is_dir():  # Another process may have been faster.
                place.rename(wanted.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return agreement


def _keep_to_ourselves() -> None:
    """Let OpenVINO's converter send no statistics of use: it does without the package for that.

    That package would also leave processes behind, which it forks and which never end here.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def _check_kind(model: Any) -> None:  # noqa: ANN401
    """Refuse what `spectrum_of` and `signals_of` are not the ends of."""
    whole = getattr(model, "cac", False) and getattr(model, "use_train_segment", False)
    if type(model).__name__ != "HTDemucs" or not whole:
        raise EngineError(
            "OpenVINO computes Hybrid Transformer Demucs only, and this is another network.",
            "Remove the package openvino to do without it.",
        )


def _trace_and_save(model: Any, path: str) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401
    """Convert what lies between the transforms; gives torch's stems of a noise, and that."""
    import openvino
    import torch

    length = int(model.segment * model.samplerate)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=False)
    noise = np.random.default_rng(0).standard_normal((model.audio_channels, length))
    mix = noise.astype(np.float32)
    window = torch.from_numpy(mix)[None]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The shapes that it warns of never change.
        expected: FloatArray = model(window)[0].numpy()
        spectrum = model._magnitude(model._spec(window)).contiguous()  # noqa: SLF001
        trace: Any = torch.jit.trace
        traced = trace(_middle_of(model), (spectrum, window), check_trace=False)
        converted = openvino.convert_model(
            traced,
            input=[
                openvino.PartialShape(list(spectrum.shape)),
                openvino.PartialShape([*window.shape]),
            ],
        )
    openvino.save_model(converted, path, compress_to_fp16=False)
    return expected, mix


def _middle_of(model: Any) -> Any:  # noqa: ANN401
    """A module of (spectrum, window) that gives the stems' spectra and waves.

    It is the network's own `forward`, whose four steps that deal with complex numbers hand over
    what is given and keep what is made.
    """
    import torch

    class Middle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, spectrum: Any, window: Any) -> Any:  # noqa: ANN401
            kept: list[Any] = []
            steps = {
                "_spec": lambda _: None,
                "_magnitude": lambda _: spectrum,
                "_mask": lambda _, spectra: kept.append(spectra),
                "_ispec": lambda *_: torch.zeros(()),
            }
            for name, step in steps.items():
                setattr(self.model, name, step)
            try:
                waves = self.model.forward(window)
            finally:
                for name in steps:
                    delattr(self.model, name)
            return kept[0], waves

    return Middle().eval()


def _precisions() -> list[str]:
    import openvino

    abilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["f32", "bf16"] if "BF16" in abilities else ["f32"]


def _agreement_db(
    network: OpenVinoNetwork, precision: str, mix: FloatArray, expected: FloatArray
) -> float:
    network.compile(precision, 1, 1)
    found = network(mix, lambda: None).astype(np.float64)
    error = np.sum((found - expected) ** 2)
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / max(error, 1e-30)))


def _defect(order: bytes, words: str) -> EngineError:
    return EngineError(
        f"OpenVINO cannot convert {_decode(order).checkpoint.name}: {words}.",
        "Update the package openvino, or remove it to do without it.",
    )


def _decode(order: bytes) -> Conversion:
    return msgspec.json.decode(order, type=Conversion, dec_hook=decode_path)


if __name__ == "__main__":
    take_order(_convert, _defect)
