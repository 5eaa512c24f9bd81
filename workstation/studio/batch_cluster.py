"""Songs of a batch on the machines of a Dask cluster that is there already.

The scheduler hands every song to a worker that is free, and to another if that one dies. Songs
and sessions lie in folders that all machines see under the same path; over the network go only
orders and results, a few hundred bytes for a song.

A million songs of four minutes, on paper, from figures measured on two cores of one machine:

==================  ============================  ==========================================
What                `dsp`                         `htdemucs` on CPUs
==================  ============================  ==========================================
separation          12 s on 2 cores               98 s on 2 cores
core hours in all   6,700                         54,700
1,000 cores         7 hours                       2 days and 7 hours
songs a second      41                            5
stems               340 MB a song (4, float32), 340 TB in all
==================  ============================  ==========================================

Where it saturates, in this order. The disk: 1,000 cores of `htdemucs` write 1.7 GB/s of stems
and those of `dsp` 14 GB/s, more than most shared disks take, so fewer cores or a disk for each
hundred machines. Space: 340 TB; export to a format of 24 bits or less, keep that and delete
the sessions as they are done, and it is a half to a tenth. The queue: 670 songs a second, as
each state is on the disk before the next step (100,000 songs are put in within a second). The
batch itself: it holds every order in memory, about 1 kB a song, so give it a folder of at most
100,000 songs at a time; ten such batches can share one scheduler. The scheduler, at a few
thousand tasks a second, is never the limit.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from workstation import __version__
from workstation.model import (
    EngineError,
    JobContext,
    UnavailableError,
    UsageError,
    WorkstationError,
    errors,
)
from workstation.model.names import shown
from workstation.separate.child import encode_path
from workstation.studio.batch_queue import SongResult
from workstation.studio.batch_worker import BatchOrder, decode_order, work_in_worker

_ANSWER_WITHIN_S = 5
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://.+:\d+")
_POLL_S = 0.1
_ASK_EVERY_S = 0.5
# Songs that wait at the scheduler for each that is worked on: no worker is ever idle, and
# machines that join later find work.
_AHEAD = 3


class _Failure(msgspec.Struct, frozen=True):
    """An error in words on its way from a worker."""

    kind: str
    problem: str
    remedy: str


class _Answer(msgspec.Struct, frozen=True):
    """What a worker says of a song."""

    done: SongResult | None = None
    failed: _Failure | None = None


class Cluster:
    """A cluster at work for one batch; use `join_cluster`.

    Args:
        client: Of Dask.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401  (Dask has no types)
        self._client = client
        self._stop = f"workstation-{uuid.uuid4().hex}"

    @property
    def songs_at_once(self) -> int:
        """How many songs to hand over before the first is done."""
        threads: int = sum(self._client.nthreads().values())
        return _AHEAD * max(1, threads)

    def work(self, order: BatchOrder, job: JobContext) -> SongResult:
        """Have a song done by any worker, and wait for it.

        Raises:
            WorkstationError: Whatever went wrong there.
            EngineError: Every worker that took the song died, or the scheduler is gone.
            CancelledError: The job was cancelled.
        """
        message = msgspec.json.encode(order, enc_hook=encode_path)
        future = self._client.submit(_carry_out, message, self._stop, pure=False)
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        while not ended.wait(_POLL_S):
            if job.cancelled:
                future.cancel(force=True)
            job.check()
            if self._client.status != "running":
                break
        return _result(future, order)

    def stop(self) -> None:
        """Tell the workers to stop what they do for this batch."""
        from distributed import Event

        with contextlib.suppress(OSError, TimeoutError):
            Event(self._stop, client=self._client).set()


def _result(future: Any, order: BatchOrder) -> SongResult:  # noqa: ANN401
    if future.status in {"pending", "lost", "cancelled"}:
        raise EngineError(
            f"The connection to the cluster was lost in the midst of {shown(order.song)}.",
            "Look after the scheduler, and run the batch again: it goes on from there.",
        )
    if future.status != "finished":
        error = future.exception() if future.status == "error" else None
        raise EngineError(
            f"The workers died over {shown(order.song)}"
            + (f": {type(error).__name__}." if error is not None else "."),
            "Give them more memory, start them with --nthreads 1, or choose a lighter engine.",
        )
    answer = msgspec.json.decode(future.result(), type=_Answer)
    if answer.failed is not None:
        kind: type[WorkstationError] = getattr(errors, answer.failed.kind)
        raise kind(answer.failed.problem, answer.failed.remedy)
    assert answer.done is not None
    return answer.done


@contextlib.contextmanager
def join_cluster(address: str) -> Iterator[Cluster]:
    """Connect to the scheduler of a Dask cluster.

    Args:
        address: `tcp://HOST:PORT`.

    Raises:
        UsageError: That is no such address.
        UnavailableError: Dask is not installed, there is no scheduler, it has no workers, or
            they have another version of workstation.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f'"{shown(address)}" is no address of a Dask scheduler.',
            "Give the one that `dask scheduler` prints: tcp://HOST:PORT.",
        )
    if importlib.util.find_spec("distributed") is None:
        raise UnavailableError(
            "The package distributed (Dask) is not installed.",
            "Install it: pip install 'workstation[cluster]'.",
        )
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_WITHIN_S, set_as_default=False)
    except OSError as error:
        raise UnavailableError(
            f"There is no Dask scheduler at {address}.",
            "Start one with `dask scheduler`, and give the address that it prints.",
        ) from error
    with client:
        _check_workers(client, address)
        cluster = Cluster(client)
        try:
            yield cluster
        except BaseException:
            cluster.stop()
            raise


def _check_workers(client: Any, address: str) -> None:  # noqa: ANN401
    """Find out before the first song what would go wrong with every one."""
    if not client.nthreads():
        raise UnavailableError(
            f"The cluster at {address} has no workers.",
            f"Start one on each machine: `dask worker {address} --nthreads 1`.",
        )
    # `run` raises what any worker raises: one without workstation cannot even read the call.
    try:
        versions = set(client.run(_version).values())
    except Exception as error:
        raise UnavailableError(
            f"The workers at {address} cannot use workstation: {error}.",
            "Install the same version of workstation beside Dask on every machine.",
        ) from error
    if versions != {__version__}:
        raise UnavailableError(
            f"The workers at {address} have workstation {', '.join(sorted(versions))}; "
            f"here is {__version__}.",
            "Install the same version on every machine.",
        )


# -- on the worker ----------------------------------------------------------------------


def _version() -> str:
    return __version__


def _carry_out(message: bytes, stop: str) -> bytes:
    """Do a song in a child process of this worker; errors come back in words."""
    from distributed import Event, get_client

    stopped = Event(stop, client=get_client())
    cancelled, over = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(stopped, cancelled, over), daemon=True).start()
    try:
        answer = _Answer(
            done=work_in_worker(decode_order(message), JobContext(cancelled=cancelled))
        )
    except WorkstationError as error:
        answer = _Answer(failed=_Failure(type(error).__name__, error.problem, error.remedy))
    finally:
        over.set()
    return msgspec.json.encode(answer)


def _watch(stopped: Any, cancelled: threading.Event, over: threading.Event) -> None:  # noqa: ANN401
    """Cancel the song when the batch is stopped."""
    with contextlib.suppress(OSError, ValueError):  # The worker itself ends.
        while not over.is_set():
            if stopped.wait(timeout=_ASK_EVERY_S):
                cancelled.set()
                return
