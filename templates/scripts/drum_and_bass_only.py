"""Write a remix of drums and bass alone: python drum_and_bass_only.py song.mp3"""

import sys
from pathlib import Path

import workstation

if len(sys.argv) != 2:
    sys.exit("Usage: python drum_and_bass_only.py SONG")

out = Path(f"{Path(sys.argv[1]).stem} (drum and bass).wav")
if out.exists():
    sys.exit(f"{out} is there already; move it away first.")

try:
    session = workstation.open(sys.argv[1])
    session.separate()
    remix = session.mix(["drums", "bass"])
    workstation.write_audio(out, remix, session.song.source.sample_rate_hz)
except workstation.WorkstationError as error:
    sys.exit(str(error))
print(out)
