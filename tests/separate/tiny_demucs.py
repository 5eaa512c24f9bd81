"""Small random demucs checkpoints, in every form that a user's folder of models may hold.

Other rooms' tests import it as `from tests.separate.tiny_demucs import ...`. The networks have the
real classes of demucs with few channels, so the whole path runs in a second.
"""

from __future__ import annotations

import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path

STEMS = ["drums", "bass", "other", "vocals"]


def tiny_network(kind="HTDemucs", stems=STEMS, seed=0):
    """A random network of the class `HTDemucs`, `HDemucs` or `Demucs`."""
    import torch
    from demucs.demucs import Demucs
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "HTDemucs":
            network = HTDemucs(
                sources=list(stems), channels=8, t_layers=1, t_heads=2, segment=Fraction(3, 2)
            )
        elif kind == "HDemucs":
            network = HDemucs(sources=list(stems), channels=4, segment=2)
        else:
            network = Demucs(sources=list(stems), channels=4, segment=2)
    return network.eval()


def package_of(network):
    """What demucs puts into a `.th` file."""
    args, kwargs = network._init_args_kwargs
    return {
        "klass": type(network),
        "args": args,
        "kwargs": kwargs,
        "state": dict(network.state_dict()),
        "training_args": {"epochs": 0},
    }


def write_th(folder: Path, signature="0badcafe", network=None, *, hashed=True) -> Path:
    """Write `<signature>-<first 8 hex of sha256>.th` (or `<signature>.th`)."""
    import torch

    buffer = io.BytesIO()
    torch.save(package_of(network or tiny_network()), buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:8]
    path = folder / (f"{signature}-{digest}.th" if hashed else f"{signature}.th")
    path.write_bytes(content)
    return path


def write_safetensors(folder: Path, signature="0badcafe", network=None, **metadata: str) -> Path:
    """Write `<signature>.safetensors` as demucs publishes them; `metadata` replaces fields."""
    from safetensors.torch import save_file

    network = network or tiny_network()
    args, kwargs = network._init_args_kwargs
    fields = {
        "klass": f"{type(network).__module__}.{type(network).__qualname__}",
        "args": json.dumps(args),
        "kwargs": json.dumps(kwargs, default=_fraction),
        **metadata,
    }
    path = folder / f"{signature}.safetensors"
    save_file({k: v.contiguous().clone() for k, v in network.state_dict().items()}, path, fields)
    return path


def write_bag(folder: Path, name: str, signatures, weights=None, segment=None) -> Path:
    """Write a bag `name.yaml`."""
    lines = [f"models: {json.dumps(list(signatures))}"]
    if weights is not None:
        lines.append(f"weights: {json.dumps(weights)}")
    if segment is not None:
        lines.append(f"segment: {segment}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _fraction(value):
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
