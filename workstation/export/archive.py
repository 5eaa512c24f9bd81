"""Putting large files into a zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

from workstation.model import JobContext

_COPY_BYTES = 1 << 22


def add_file(archive: zipfile.ZipFile, entry: str, path: Path, job: JobContext) -> None:
    """Put a file of any size into an archive, without holding it in memory.

    The entry has no date, so that the same files make the same archive.
    """
    size, done = path.stat().st_size, 0
    with (
        path.open("rb") as source,
        archive.open(zipfile.ZipInfo(entry), "w", force_zip64=size > 0x7FFF_FFFF) as target,
    ):
        while block := source.read(_COPY_BYTES):
            job.check()
            done += target.write(block)
            job.report(done / size)
