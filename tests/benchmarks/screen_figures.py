"""What the screen costs: `python tests/benchmarks/screen_figures.py [SESSION]`.

Runs the real program in a pseudo-terminal of 120×40: CPU until the first frame, CPU at rest and
while playing (the whole song, and zoomed in), and the time from a key to its effect in the
terminal. Without a session it makes that of the demo song.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

from workstation.model import JobContext
from workstation.studio.demo import demo_session

TICKS = os.sysconf("SC_CLK_TCK")


class Screen:
    def __init__(self, *session, columns=120, rows=40):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.environ["WORKSTATION_CONFIG_DIR"] = tempfile.mkdtemp()
            words = ["-P", "-m", "workstation", "open", *map(str, session), "--device", "none"]
            os.execv(sys.executable, [sys.executable, *words])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, *words, seconds=30.0):
        """Read until something is drawn; gives the time that took."""
        begun, seen = time.perf_counter(), b""
        while not any(word.encode() in seen for word in words):
            left = begun + seconds - time.perf_counter()
            assert left > 0, seen[-2000:]
            if select.select([self.fd], [], [], min(left, 0.05))[0]:
                seen += os.read(self.fd, 1 << 16)
        return time.perf_counter() - begun

    def drain(self, seconds):
        end = time.perf_counter() + seconds
        count = 0
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                try:
                    count += len(os.read(self.fd, 1 << 16))
                except OSError:  # It has ended.
                    break
        return count

    def press(self, text):
        os.write(self.fd, text.encode())

    def cpu_s(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def share(self, seconds=10.0):
        begun = self.cpu_s()
        sent = self.drain(seconds)
        return 100 * (self.cpu_s() - begun) / seconds, sent / seconds / 1024


def main(session):
    home = Screen()
    home.read_until("a remix workstation")
    print(f"first frame       {home.cpu_s():.2f} s of CPU")
    home.press("\x11")
    home.drain(1)
    screen = Screen(session)
    screen.read_until("MASTER")
    screen.drain(3)
    share, sent = screen.share()
    print(f"at rest           {share:.1f} % of a core, {sent:.1f} KiB/s")
    latencies = []
    for _ in range(20):
        screen.press("m")
        latencies.append(screen.read_until("[M]", " M "))
        screen.drain(0.3)
    latencies.sort()
    print(f"key to screen     p50 {1e3 * latencies[10]:.0f} ms, max {1e3 * latencies[-1]:.0f} ms")
    screen.press("l]] ")
    screen.drain(2)
    share, sent = screen.share()
    print(f"playing           {share:.1f} % of a core, {sent:.1f} KiB/s")
    screen.press("zzz")
    screen.drain(1)
    share, sent = screen.share()
    print(f"playing, zoomed   {share:.1f} % of a core, {sent:.1f} KiB/s")
    screen.press("\x11")
    screen.drain(2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(demo_session(Path(temporary), JobContext()).path)
