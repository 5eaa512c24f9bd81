"""Stopping a network in the middle: between its layers, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workstation.model import JobContext

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def watched(network: nn.Module, job: JobContext) -> Iterator[None]:
    """Within this block, `CancelledError` comes out of a network as soon as a job is cancelled.

    It comes out of `backward` as well: the gradient of every layer asks on its way.
    """
    from torch import Tensor

    def ask(_module: nn.Module, _inputs: object, output: object) -> None:
        job.check()
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _: job.check())  # type: ignore[no-untyped-call]

    layers = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(ask) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
