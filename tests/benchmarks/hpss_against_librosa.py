"""How much faster our HPSS is than librosa's, both at one thread, on the same audio, in turn.

Run: python tests/benchmarks/hpss_against_librosa.py [SONG]
Without a song it takes the demo song, again and again. Times are CPU seconds.
"""

import os
import sys

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import multiprocessing
import resource
import statistics
import time

import numpy as np

from workstation.audio import read_audio
from workstation.model import JobContext
from workstation.separate.hpss import Hpss, hpss_masks
from workstation.separate.nmf import Nmf
from workstation.separate.repet_sim import RepetSim
from workstation.separate.stft import stft

RUNS = 5
COMPARED_S = 60
LENGTHS_S = (60, 240)
ENGINES = (Hpss(), RepetSim(), Nmf())


def song(seconds):
    """So many seconds of the song, which is repeated where it is shorter."""
    if len(sys.argv) > 1:
        samples, rate = read_audio(sys.argv[1])
    else:
        from workstation.studio.demo_song import compose

        demo = compose()
        samples, rate = demo.mix, demo.sample_rate_hz
    frames = seconds * rate
    return np.tile(samples, -(-frames // samples.shape[1]))[:, :frames], rate


def cpu_s(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def compare():
    """Print CPU seconds of librosa and of ours, and how far the masks are apart."""
    import librosa

    mix, rate = song(COMPARED_S)
    mono = np.ascontiguousarray(mix[:1])
    ours, theirs = Hpss(), librosa.effects.hpss
    ours.separate(mono[:, : 2 * rate], rate, JobContext())
    theirs(mono[0, : 2 * rate])
    pairs = [
        (cpu_s(lambda: theirs(mono[0])), cpu_s(lambda: ours.separate(mono, rate, JobContext())))
        for _ in range(RUNS)
    ]
    magnitude = np.abs(stft(mono, 2048, 512)[0])
    masks = hpss_masks(magnitude)
    peers = librosa.decompose.hpss(magnitude.T, mask=True)
    difference = max(float(np.abs(a - b.T).max()) for a, b in zip(masks, peers, strict=True))
    print(f"{COMPARED_S} s of mono at {rate} Hz, one thread, median of {RUNS} runs in turn\n")
    print(f"librosa.effects.hpss              {statistics.median(t for t, _ in pairs):8.3f} s")
    print(f"workstation hpss                  {statistics.median(o for _, o in pairs):8.3f} s")
    print(f"ratio                             {statistics.median(t / o for t, o in pairs):8.1f}")
    print(f"largest difference of the masks   {difference:8.1e}")


def measure(index, seconds):
    """Print what one engine needs for one chunk; in a process of its own, for its peak memory."""
    engine = ENGINES[index]
    mix, rate = song(seconds)
    engine.separate(mix[:, : 2 * rate], rate, JobContext())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    used = cpu_s(lambda: engine.separate(mix, rate, JobContext()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{engine.card.name:<12}{seconds:6d} s {used:8.2f} s {peak:8.0f} MiB {before:8.0f} MiB")


def run_apart(function, *args):
    """Run in a process of its own, started by a small one, so that peaks are its own too."""
    sys.stdout.flush()
    child = multiprocessing.get_context("spawn").Process(target=function, args=args)
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(child.exitcode)


def main():
    run_apart(compare)
    print("\nStereo in one piece (the workstation itself hands over chunks)\n")
    print("engine      length      CPU         peak      before")
    for index in range(len(ENGINES)):
        for seconds in LENGTHS_S:
            run_apart(measure, index, seconds)


if __name__ == "__main__":
    main()
