"""The two networks that `workstation train` trains; importing this module imports torch.

Both take a mix of shape (batch, channels, frames) and give stems of shape (batch, stems, channels,
frames) that sum to it. A mix is brought to a power of 1 on its way in and back on its way out, so
that a louder mix gives louder stems and nothing else. Both begin as "mixture divided by the number
of stems", because their last layer begins at zero: whatever they learn is above that.

`Waveform` follows Demucs (Défossez, Usunier, Bottou, Bach, "Music source separation in the waveform
domain", 2019): strided convolutions with gated linear units down, a bidirectional LSTM, transposed
convolutions up, a skip connection from each level to its own. Weights begin so that power is the
same on all levels (He et al., ICCV 2015), for there is no normalisation. What its stems miss of
the mix is spread over them evenly (mixture consistency: Wisdom et al., ICASSP 2019).

`Spectrogram` masks the short-time spectrum of mid and side: dilated convolutions over time with
residuals (the TCN of Bai, Kolter, Koltun, 2018, not causal here) see the logarithmic magnitudes and
give weights that sum to 1 over the stems; phases are those of the mix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workstation.separate.trained_file import NetworkPlan, SpectrogramSizes, WaveformSizes

_KERNEL = 8
_STRIDE = 4
_PADDING = (_KERNEL - _STRIDE) // 2
_SMALLEST = 1e-8
# What a layer must make of its input, so that half a wave or a gated one is as strong as that.
_RELU_POWER, _GLU_POWER = 2.0, 3.5
_MAGNITUDE_FLOOR = 1e-3
_DILATIONS = (1, 2, 4, 8)


def build(plan: NetworkPlan) -> nn.Module:
    """Make the network of a plan with random weights, which `torch.manual_seed` decides."""
    if isinstance(plan.network, WaveformSizes):
        return Waveform(plan, plan.network)
    return Spectrogram(plan, plan.network)


class Waveform(nn.Module):
    """Encoder, BLSTM, decoder on samples; see the module's docstring.

    Args:
        plan: Stems and channels.
        sizes: Channels of the first level (they double with each), levels, units of the LSTM.
    """

    def __init__(self, plan: NetworkPlan, sizes: WaveformSizes) -> None:
        super().__init__()
        self._stems, self._channels = len(plan.stems), plan.channels
        self._step = _STRIDE**sizes.levels
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        last: nn.ConvTranspose1d | None = None
        outside, out = plan.channels, len(plan.stems) * plan.channels
        for level in range(sizes.levels):
            inside = sizes.width << level
            final = nn.ConvTranspose1d(inside, out, _KERNEL, _STRIDE, padding=_PADDING)
            last = final if level == 0 else last
            self.encoder.append(_down(outside, inside))
            self.decoder.insert(0, _up(inside, final, nn.Identity() if level == 0 else nn.ReLU()))
            outside = out = inside
        self.recurrent = nn.LSTM(
            inside, sizes.recurrent, num_layers=2, bidirectional=True, batch_first=True
        )
        self.back = nn.Linear(2 * sizes.recurrent, inside)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                gated = module.out_channels == 2 * module.in_channels and module.stride[0] == 1
                _draw(module, _GLU_POWER if gated else _RELU_POWER)
        _begin_at_zero(last)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate: (batch, channels, frames) to (batch, stems, channels, frames)."""
        frames = mix.shape[-1]
        level = _level(mix)
        x = functional.pad(mix / level.clamp(min=_SMALLEST), (0, -frames % self._step))
        skips = []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        x = self.back(self.recurrent(x.transpose(1, 2))[0]).transpose(1, 2)
        for up in self.decoder:
            x = up((x + skips.pop()) * 0.5**0.5)
        stems = x[..., :frames].reshape(-1, self._stems, self._channels, frames) * level[:, None]
        missing: Tensor = (mix - stems.sum(1)) / self._stems
        consistent: Tensor = stems + missing[:, None]
        return consistent


class Spectrogram(nn.Module):
    """Masks on mid and side by dilated convolutions over time; see the module's docstring.

    Args:
        plan: Stems and channels.
        sizes: Samples of a window, channels inside, number of residual blocks.
    """

    window: Tensor

    def __init__(self, plan: NetworkPlan, sizes: SpectrogramSizes) -> None:
        super().__init__()
        self._stems, self._channels = len(plan.stems), plan.channels
        self._fft = sizes.window
        self._bands = self._fft // 2 + 1
        seen = self._channels * self._bands
        self.register_buffer("window", torch.hann_window(self._fft), persistent=False)
        self.first = nn.Conv1d(seen, sizes.width, 1)
        self.blocks = nn.ModuleList(
            _Residual(sizes.width, _DILATIONS[block % len(_DILATIONS)])
            for block in range(sizes.blocks)
        )
        self.norm = nn.GroupNorm(1, sizes.width)
        self.last = nn.Conv1d(sizes.width, self._stems * seen, 1)
        _begin_at_zero(self.last)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate: (batch, channels, frames) to (batch, stems, channels, frames)."""
        batch, channels, frames = mix.shape
        level = _level(mix)
        wave = _mid_and_side(mix / level.clamp(min=_SMALLEST))
        spectrum = torch.stft(
            wave.flatten(0, 1),
            self._fft,
            self._fft // 4,
            window=self.window,
            pad_mode="constant",
            normalized=True,
            return_complex=True,
        ).reshape(batch, channels, self._bands, -1)
        x = self.first(_loudness(spectrum).flatten(1, 2))
        for block in self.blocks:
            x = block(x)
        weights = self.last(functional.relu(self.norm(x)))
        masks = weights.reshape(batch, self._stems, channels, self._bands, -1).softmax(1)
        stems = torch.istft(
            (masks * spectrum[:, None]).flatten(0, 2),
            self._fft,
            self._fft // 4,
            window=self.window,
            normalized=True,
            length=frames,
        )
        stems = _mid_and_side(stems.reshape(batch, self._stems, channels, frames))
        return stems * level[:, None]


class _Residual(nn.Module):
    """A gated dilated convolution whose output is added to its input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation),
            nn.GLU(1),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inside(x)
        return out


def _down(outside: int, inside: int) -> nn.Sequential:
    """A level of the encoder: a quarter of the frames."""
    return nn.Sequential(
        nn.Conv1d(outside, inside, _KERNEL, _STRIDE, padding=_PADDING),
        nn.ReLU(),
        nn.Conv1d(inside, 2 * inside, 1),
        nn.GLU(1),
    )


def _up(inside: int, final: nn.ConvTranspose1d, after: nn.Module) -> nn.Sequential:
    """A level of the decoder: four times the frames."""
    return nn.Sequential(nn.Conv1d(inside, 2 * inside, 3, padding=1), nn.GLU(1), final, after)


def _begin_at_zero(layer: nn.Module | None) -> None:
    assert isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _draw(layer: nn.Conv1d | nn.ConvTranspose1d, power: float) -> None:
    """Draw weights that give the output so much power as the input has."""
    seen = layer.in_channels * layer.kernel_size[0]
    if isinstance(layer, nn.ConvTranspose1d):
        seen //= layer.stride[0]  # So many of its inputs meet in a frame.
    nn.init.normal_(layer.weight, std=(power / seen) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _loudness(spectrum: Tensor) -> Tensor:
    """Logarithm of the magnitudes, brought to numbers around zero."""
    loudness: Tensor = (spectrum.abs() + _MAGNITUDE_FLOOR).log() / 3 + 1
    return loudness


def _level(mix: Tensor) -> Tensor:
    """Root mean square of each mix: (batch, 1, 1)."""
    level: Tensor = mix.square().mean((1, 2), keepdim=True).sqrt()
    return level


def _mid_and_side(wave: Tensor) -> Tensor:
    """Left and right to mid and side, or back; one channel stays as it is."""
    if wave.shape[-2] != 2:
        return wave
    left, right = wave.unbind(-2)
    turned: Tensor = torch.stack([left + right, left - right], -2) * 0.5**0.5
    return turned
