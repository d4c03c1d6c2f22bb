"""What this process gives up before it looks at a file that a stranger sent."""

import ctypes
import resource
import signal
import sys
from contextlib import suppress

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def confine(*, memory: int, seconds: int, output: int) -> None:
    """No network, no further file or socket, no program started, bounded memory, time and output.

    The kernel refuses a descriptor beyond the three that are open, so that no socket can be opened even where a network
    namespace isn't to be had. `memory` and `output` in bytes; `seconds` of processor time, twice that of the clock.
    """
    _leave_network()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, output)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 3)
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)  # ends the process also when nobody waits for it any more


def _leave_network() -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:  # containers often forbid new users
        libc.unshare(_CLONE_NEWNET)


def _limit(which: int, value: int) -> None:
    """Never above what the process may have already."""
    with suppress(ValueError, OSError):
        most = resource.getrlimit(which)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(which, (value, value))
