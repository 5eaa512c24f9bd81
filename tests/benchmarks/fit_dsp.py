"""Fit the join of the `dsp` engine to songs whose stems are known.

    python tests/benchmarks/fit_dsp.py STEMS --work DIR --out dsp_weights.safetensors

STEMS holds a folder per song with `drums`, `bass`, `other` and `vocals` as .flac or .wav at
44.1 kHz (silent where a song has none). The songs are mixed anew many times: at other
levels, balances and speeds, with stems of one song or of several, now and then in mono, with
a stem missing, or with the treble cut off. Cues and wanted masks of the mixes are kept in DIR.
The shipped parameters are from 450 mixes and 24 minutes on one core (1623 steps), with seven
songs held out to watch the fit by; how long it runs decides, so a rerun gives near, not equal,
parameters.

What is minimised is the error of the masked mix itself. For a band of the mix X and a stem S
the squared error of the estimate M·X is |X|²·(M - R)² plus what no mask can change, where
R = Re(S·X*)/|X|²; summed over bands, columns, mid and side and put over the energy of the
stem, that is the inverse of the signal-to-distortion ratio, and the loss is its mean in dB.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torch import nn

from workstation.model import JobContext
from workstation.separate.dsp_cues import BANDS, CUES, Grid, cues, measure

STEMS = ("drums", "bass", "other", "vocals")
RATE_HZ = 44100
MIX_S = 30.0
CROP_COLUMNS = 384


# -- mixes -------------------------------------------------------------------------


class Songs:
    """Stems on disk, and the level each is at where it plays."""

    def __init__(self, folder, names):
        self.paths, self.frames, self.level = {}, {}, {}
        for name in names:
            for stem in STEMS:
                path = next(iter(sorted((folder / name).glob(f"{stem}.*"))))
                audio, _ = sf.read(path, dtype="float32")
                blocks = audio[: len(audio) // 4410 * 4410].reshape(-1, 4410 * 2)
                power = np.mean(blocks**2, axis=1)
                loud = power[power > 1e-6]
                self.paths[name, stem] = path
                self.frames[name] = len(audio)
                self.level[name, stem] = float(np.sqrt(loud.mean())) if len(loud) > 10 else 0.0
        self.names = list(names)
        # Long songs are the real ones here: they count for more than their length.
        weight = np.array([self.frames[name] for name in names]) ** 1.7
        self.weight = weight / weight.sum()

    def read(self, name, stem, start, frames):
        audio, _ = sf.read(self.paths[name, stem], dtype="float32", start=start, frames=frames)
        return audio.T


def make_mix(songs, rng):
    """Stems of a new mix: shape (4, 2, frames)."""
    frames = round(MIX_S * RATE_HZ)
    together = rng.random() < 0.5
    out = np.zeros((4, 2, frames), np.float32)
    speed = rng.uniform(0.87, 1.15) if rng.random() < 0.6 else 1.0
    name = rng.choice(songs.names, p=songs.weight)
    place = rng.random()
    for index, stem in enumerate(STEMS):
        if not together:
            having = [i for i, n in enumerate(songs.names) if songs.level[n, stem] > 0]
            if not having:
                continue
            p = songs.weight[having] / songs.weight[having].sum()
            name, place = songs.names[rng.choice(having, p=p)], rng.random()
            speed = rng.uniform(0.87, 1.15) if rng.random() < 0.6 else 1.0
        if songs.level[name, stem] == 0 or rng.random() < 0.07:
            continue
        need = min(int(frames * speed) + 2, songs.frames[name])
        audio = songs.read(name, stem, int(place * (songs.frames[name] - need)), need)
        if speed != 1.0:
            at = np.arange(int((need - 1) / speed)) * speed
            audio = np.stack([np.interp(at, np.arange(need), c) for c in audio])
        gain_db = rng.normal(0, 4.0 if not together else 3.0)
        balance_db = rng.normal(0, 1.0)
        gains = 10 ** ((gain_db + np.array([[balance_db], [-balance_db]])) / 20)
        n = min(frames, audio.shape[1])
        out[index, :, :n] = audio[:, :n] * gains * (0.06 / songs.level[name, stem])
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.1:
        out = np.repeat(out.mean(axis=1, keepdims=True), 2, axis=1)
    return np.ascontiguousarray(out)


def wanted(stems, grid):
    """What the network should find, and what it costs to miss it.

    Returns:
        Best masks for mid and side (columns, BANDS, 2, 4), power of the mix's mid and side
        (columns, BANDS, 2), energy of the stems (columns, 4).
    """
    turned = np.stack([stems[:, 0] + stems[:, 1], stems[:, 0] - stems[:, 1]], axis=1) / 2**0.5
    mix = turned.sum(axis=0)
    columns = grid.columns(mix.shape[1])
    both = np.zeros((columns, BANDS, 2, 4), np.float32)
    power = np.zeros((columns, BANDS, 2), np.float32)
    energy = np.zeros((columns, 4), np.float32)
    blocks = zip(grid.spectra(mix), *(grid.spectra(stem) for stem in turned), strict=True)
    for (first, x), *parts in blocks:
        part = slice(first, first + x.shape[1])
        power[part] = grid.band_sum(np.abs(x) ** 2).transpose(1, 2, 0)
        for index, (_, s) in enumerate(parts):
            both[part, :, :, index] = grid.band_sum((s * x.conj()).real).transpose(1, 2, 0)
            energy[part, index] = (np.abs(s) ** 2).sum(axis=(0, 2))
    best = np.clip(both / (power[..., None] + 1e-9 * power.mean() + 1e-20), -1, 2)
    return best, power, energy


def prepared_mix(songs, seed):
    """Cues and targets of one mix; all but the energies at half precision."""
    rng = np.random.default_rng(seed)
    grid = Grid.of(RATE_HZ)
    job = JobContext()
    stems = make_mix(songs, rng)
    powers = measure(stems.sum(axis=0), grid, job)
    best, power, energy = wanted(stems, grid)
    if rng.random() < 0.1:
        top = rng.integers(180, BANDS)
        for array in (powers.left, powers.right, powers.cross, powers.steady, powers.late, power):
            array[:, top:] = 0
    mean = power.mean() + 1e-20
    return {
        "cues": cues(powers, job).astype(np.float16),
        "best": best.astype(np.float16),
        "size": np.sqrt(power / mean).astype(np.float16),
        "energy": energy / mean,
    }


def prepare(songs, count, folder, seed, workers):
    """Make mixes and keep their cues and targets on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    with multiprocessing.Pool(workers) as pool:
        task = functools.partial(prepared_mix, songs)
        for index, mix in enumerate(pool.imap(task, [(seed, i) for i in range(count)])):
            for key, value in mix.items():
                if index == 0:
                    arrays[key] = np.lib.format.open_memmap(
                        folder / f"{key}.partial", "w+", value.dtype, (count, *value.shape)
                    )
                arrays[key][index] = value
            if index % 20 == 0:
                print(f"mix {index} of {count}", flush=True)
    for key in arrays:
        (folder / f"{key}.partial").rename(folder / f"{key}.npy")


# -- the network, as torch trains it -------------------------------------------------


class Conv(nn.Module):
    def __init__(self, inside, outside, dilation=1):
        super().__init__()
        self.conv = nn.Conv2d(
            inside, outside, 3, padding=(dilation, 1), dilation=(dilation, 1), bias=False
        )
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x, extra=0):
        return torch.relu(self.norm(self.conv(x)) + extra)

    def export(self):
        scale, shift = _fold(self.norm)
        kernel = (self.conv.weight * scale[:, None, None, None]).permute(2, 3, 1, 0)
        return {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": shift}


class Down(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, (1, 4), stride=(1, 4), bias=False)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

    def export(self):
        scale, shift = _fold(self.norm)
        kernel = (self.conv.weight * scale[:, None, None, None])[:, :, 0].permute(2, 1, 0)
        return {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": shift}


class Up(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inside, outside, (1, 4), stride=(1, 4))

    def forward(self, x, skipped):
        return torch.relu(self.conv(x) + skipped)

    def export(self):
        kernel = self.conv.weight[:, :, 0].permute(0, 2, 1)
        return {"kernel": kernel.reshape(kernel.shape[0], -1), "bias": self.conv.bias.repeat(4)}


class Dense(nn.Linear):
    def export(self):
        return {"kernel": self.weight.T, "bias": self.bias}


def _fold(norm):
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class Join(nn.Module):
    """The network of `workstation.separate.dsp_join`, on (batch, cues, columns, bands)."""

    def __init__(self, c1=16, c2=32, c3=48, few=8, state=64):
        super().__init__()
        coarse_bands = BANDS // 16
        self.enter, self.fine = Conv(CUES, c1), Conv(c1, c1)
        self.place = nn.Parameter(torch.zeros(c1, 1, BANDS))
        self.down1, self.down2 = Down(c1, c2), Down(c2, c3)
        self.middle1, self.middle2 = Conv(c2, c2), Conv(c2, c2, 2)
        self.coarse1, self.coarse2, self.coarse3 = Conv(c3, c3), Conv(c3, c3, 2), Conv(c3, c3, 4)
        self.coarse4 = Conv(c3, c3)
        self.squeeze, self.widen = Dense(c3, few), Dense(few, c3)
        self.gather = Dense(few * coarse_bands, state)
        self.gru = nn.GRU(state, state, batch_first=True, bidirectional=True)
        self.tell = Dense(2 * state, few * coarse_bands)
        self.up2, self.up1 = Up(c3, c2), Up(c2, c1)
        self.late, self.last = Conv(c2, c2), Conv(c1, c1)
        self.out = Dense(c1, 8)

    def forward(self, x):
        fine = self.fine(self.enter(x, self.place))
        middle = self.down1(fine)
        middle = middle + self.middle1(middle)
        middle = middle + self.middle2(middle)
        coarse = self.down2(middle)
        for layer in (self.coarse1, self.coarse2, self.coarse3):
            coarse = coarse + layer(coarse)
        coarse = coarse + self._context(coarse)
        coarse = coarse + self.coarse4(coarse)
        middle = self.up2(coarse, middle)
        middle = middle + self.late(middle)
        fine = self.last(self.up1(middle, fine))
        return self.out(fine.permute(0, 2, 3, 1)).unflatten(-1, (2, 4)).softmax(dim=-1)

    def _context(self, x):
        batch, _, columns, bands = x.shape
        few = torch.relu(self.squeeze(x.permute(0, 2, 3, 1)))
        seen = torch.relu(self.gather(few.reshape(batch, columns, -1)))
        told = torch.relu(self.tell(self.gru(seen)[0])).reshape(batch, columns, bands, -1)
        return self.widen(told).permute(0, 3, 1, 2)

    def export(self):
        found = {"place": self.place[:, 0].T}
        for name, layer in self.named_children():
            if hasattr(layer, "export"):
                found |= {f"{name}.{key}": value for key, value in layer.export().items()}
        for way, end in (("forward", ""), ("backward", "_reverse")):
            found[f"{way}.input.kernel"] = getattr(self.gru, f"weight_ih_l0{end}").T
            found[f"{way}.input.bias"] = getattr(self.gru, f"bias_ih_l0{end}")
            found[f"{way}.state.kernel"] = getattr(self.gru, f"weight_hh_l0{end}").T
            found[f"{way}.state.bias"] = getattr(self.gru, f"bias_hh_l0{end}")
        return {
            key: np.ascontiguousarray(value.detach().numpy().astype(np.float16))
            for key, value in found.items()
        }


# -- fitting ------------------------------------------------------------------------


def loss_db(found, best, power, energy):
    """Mean over mixes and stems of the error in dB relative to the stem; lower is better."""
    over = (1, 2, 3)
    error = (power[..., None] * (found - best) ** 2).sum(dim=over)
    fixed = energy - (power[..., None] * best**2).sum(dim=over)
    # A stem that is silent counts as one 20 dB below the mix: leaking into it costs as well.
    # (and what is silent altogether costs nothing).
    least = 0.01 * power.sum(dim=over)[:, None] + 1e-3
    ratio = (error + fixed.clamp(min=0) + least) / (energy + least)
    return 10 * torch.log10(ratio), energy > least


class Mixes:
    def __init__(self, folder):
        self.arrays = {
            key: np.load(folder / f"{key}.npy", mmap_mode="r")
            for key in ("cues", "best", "size", "energy")
        }
        self.count, self.columns = self.arrays["cues"].shape[:2]

    def crop(self, indices, starts, columns):
        cut = {}
        for key, array in self.arrays.items():
            crops = [array[i, s : s + columns] for i, s in zip(indices, starts, strict=True)]
            cut[key] = torch.from_numpy(np.stack(crops).astype(np.float32))
        return (
            cut["cues"].permute(0, 3, 1, 2),
            cut["best"],
            cut["size"] ** 2,
            cut["energy"].sum(dim=1),
        )


def validate(model, mixes):
    """Mean SDR in dB per stem, over the mixes in which it plays."""
    model.eval()
    total, plays = np.zeros(4), np.zeros(4)
    with torch.no_grad():
        for index in range(mixes.count):
            x, *truth = mixes.crop([index], [0], mixes.columns)
            with torch.autocast("cpu", torch.bfloat16):
                found = model(x)
            value, present = loss_db(found.float(), *truth)
            total -= (value * present)[0].numpy()
            plays += present[0].numpy()
    return total / np.maximum(plays, 1)


def fit(model, mixes, held_out, *, seconds, batch, rate, out):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    began, step, running, shown = time.monotonic(), 0, [], 0.0
    while (done := (time.monotonic() - began) / seconds) < 1:
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = (
                rate * min(1, (step + 1) / 50) * (0.02 + 0.98 * np.cos(done * np.pi / 2) ** 2)
            )
        indices = rng.integers(mixes.count, size=batch)
        starts = rng.integers(mixes.columns - CROP_COLUMNS, size=batch)
        x, *truth = mixes.crop(indices, starts, CROP_COLUMNS)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x)
        loss = loss_db(found.float(), *truth)[0].mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        running.append(loss.item())
        step += 1
        if done - shown > 1 / 8:
            shown = done
            scores = validate(model, held_out)
            print(
                f"step {step} {done:.0%} loss {np.mean(running):.2f} held out "
                f"{np.round(scores, 2)} mean {scores.mean():.2f}",
                flush=True,
            )
            running = []
            save_file(model.export(), out)
    scores = validate(model, held_out)
    model.eval()
    print(f"end: step {step} held out {np.round(scores, 2)} mean {scores.mean():.2f}")
    save_file(model.export(), out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stems", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", default="", help="songs that only serve to validate")
    parser.add_argument("--mixes", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=3e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = sorted(p.name for p in args.stems.iterdir() if p.is_dir())
    held = [name for name in names if name in args.held_out.split(",")]
    for part, chosen, count, seed in (
        ("train", [n for n in names if n not in held], args.mixes, 1),
        ("held", held or names, 16, 2),
    ):
        if not (args.work / part / "energy.npy").exists():
            prepare(Songs(args.stems, chosen), count, args.work / part, seed, args.workers)
    model = Join().to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    fit(
        model,
        Mixes(args.work / "train"),
        Mixes(args.work / "held"),
        seconds=60 * args.minutes,
        batch=args.batch,
        rate=args.rate,
        out=args.out,
    )


if __name__ == "__main__":
    main()
