"""CPU time and memory of another process, as the Linux kernel counts them."""

from __future__ import annotations

import contextlib
import ctypes
import time
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """What a server used between two moments."""

    seconds: float
    server_cpu: float
    load_cpu: float
    #: Octets by which the resident set exceeded, at its peak, its size at the start.
    peak_growth: int


class ProcessEnded(Exception):
    """The server is gone."""


class Meter:
    """A stopwatch for one server process; made and read by the load generator."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._clock = _cpu_clock(pid)

    def start(self) -> None:
        """The timed part begins."""
        # 5: reset the peak of the resident set, see proc(5).  Where that is not
        # allowed, the peak since the start of the process has to do.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._pid}/clear_refs").write_text("5")
        self._memory = self._status("VmRSS")
        self._load_cpu = time.process_time()
        self._server_cpu = self._server_cpu_now()
        self._time = time.perf_counter()

    def stop(self) -> Usage:
        """The timed part is over.

        :raises ProcessEnded: if the server is.
        """
        seconds = time.perf_counter() - self._time
        server_cpu = self._server_cpu_now() - self._server_cpu
        load_cpu = time.process_time() - self._load_cpu
        peak_growth = max(0, self._status("VmHWM") - self._memory)
        return Usage(seconds, server_cpu, load_cpu, peak_growth)

    def _server_cpu_now(self) -> float:
        try:
            return time.clock_gettime(self._clock)
        except OSError as error:
            raise ProcessEnded from error

    def _status(self, field: str) -> int:
        try:
            with open(f"/proc/{self._pid}/status") as status:
                for line in status:
                    if line.startswith(field + ":"):
                        return int(line.split()[1]) * 1024
        except OSError as error:
            raise ProcessEnded from error
        # A process that has ended and is not yet waited for has no memory.
        raise ProcessEnded


def _cpu_clock(pid: int) -> int:
    """The clock that counts the CPU time of all threads of *pid*, see POSIX."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessEnded
    return clock.value
