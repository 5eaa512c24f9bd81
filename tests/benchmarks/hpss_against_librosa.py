"""How much faster our HPSS is than librosa's, both at one thread, on the same audio, in turn.

Run: python tests/benchmarks/hpss_against_librosa.py [SONG]
Without a song it takes a minute of the demo song. Times are CPU seconds.
"""

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import resource
import statistics
import time

import librosa
import numpy as np

from workstation.audio import read_audio
from workstation.model import JobContext
from workstation.separate.hpss import Hpss, hpss_masks
from workstation.separate.nmf import Nmf
from workstation.separate.repet_sim import RepetSim
from workstation.separate.stft import stft
from workstation.studio.demo_song import compose

RUNS = 5


def song():
    if len(sys.argv) > 1:
        return read_audio(sys.argv[1])
    demo = compose()
    return np.tile(demo.mix, 2)[:, : 60 * demo.sample_rate_hz], demo.sample_rate_hz


def cpu_s(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def main():
    mix, rate = song()
    mono = np.ascontiguousarray(mix[:1])
    ours, theirs = Hpss(), librosa.effects.hpss
    short = mono[:, : 2 * rate]
    ours.separate(short, rate, JobContext())
    theirs(short[0])
    pairs = [
        (cpu_s(lambda: theirs(mono[0])), cpu_s(lambda: ours.separate(mono, rate, JobContext())))
        for _ in range(RUNS)
    ]
    magnitude = np.abs(stft(mono, 2048, 512)[0])
    masks = hpss_masks(magnitude)
    peers = librosa.decompose.hpss(magnitude.T, mask=True)
    difference = max(float(np.abs(a - b.T).max()) for a, b in zip(masks, peers, strict=True))
    print(f"{mono.shape[1] / rate:.0f} s of mono at {rate} Hz, one thread, {RUNS} runs in turn")
    print(f"librosa.effects.hpss   {statistics.median(t for t, _ in pairs):8.3f} s")
    print(f"workstation hpss       {statistics.median(o for _, o in pairs):8.3f} s")
    print(f"ratio                  {statistics.median(t / o for t, o in pairs):8.1f}")
    print(f"largest difference of the masks   {difference:.1e}")
    for engine in (RepetSim(), Nmf()):
        engine.separate(mix[:, : 2 * rate], rate, JobContext())
        seconds = cpu_s(lambda engine=engine: engine.separate(mix, rate, JobContext()))
        print(f"{engine.card.name:<10} stereo       {seconds:8.3f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process       {peak:.0f} MiB")


if __name__ == "__main__":
    main()
