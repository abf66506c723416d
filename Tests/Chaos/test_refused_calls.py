"""The kernel refuses what the agent asks of it, every second time or always, for longer than a token lives."""

import os
import shutil
import signal
import subprocess

import pytest
from at_work import MAXIMUM, AtWork

pytestmark = pytest.mark.long(220)

# Of calls that concern the directories of sinks and state, by the directory they are in.
OF_FILES = {
    "openat": ("EMFILE", "EACCES", "EIO", "EINTR", "ENOSPC"),
    "renameat": ("EIO", "ENOSPC"),
    "newfstatat": ("EIO",),
    "unlinkat": ("EIO",),
    "getdents64": ("EIO",),
    "inotify_add_watch": ("ENOSPC",),
    "bind": ("EACCES",),
}
# Of any.
OF_ALL = {
    "openat": ("EMFILE", "ENFILE"),
    "fsync": ("EIO", "ENOSPC", "EINTR"),
    "socket": ("EMFILE", "ENOMEM"),
    "connect": ("ENETUNREACH", "EINTR"),
    "sendto": ("ECONNRESET", "EINTR", "EAGAIN"),
    "recvfrom": ("ECONNRESET", "EINTR", "EAGAIN"),
    "setsockopt": ("EINVAL",),
    "getsockopt": ("EINVAL",),
    "accept4": ("EMFILE", "ECONNABORTED"),
    "pipe2": ("EMFILE",),
    "pidfd_open": ("EMFILE",),
    "vfork": ("EAGAIN",),
    "clone3": ("EAGAIN",),
    "mmap": ("ENOMEM",),
    # As the kernel refuses it: by an end below the one asked for. It never returns an error's number, which the C
    # library's malloc would take for the new end, and any program die of that.
    "brk": ("retval=0",),
    "read": ("EINTR",),
    "fcntl": ("EINVAL",),
    "getrandom": ("EAGAIN",),
}
EVERY = [
    (concerned, call, error, when)
    for concerned, table in (("files", OF_FILES), ("all", OF_ALL))
    for call, errors in table.items()
    for error in errors
    for when in ("1+2", "1+1", "3+4")
]
# Each takes half a minute, mostly of waiting. `make chaos` has them all; a step that shares no factor with the three
# rhythms has some of each, that of a child's pipes among them.
CHOSEN = EVERY if os.environ.get("CHAOS") == "all" else EVERY[15::20]


def can_be_traced() -> bool:
    """Whether strace is there and may do its work: in some containers it may not."""
    command = ["strace", "-o", "/dev/null", "-e", "inject=getuid:error=EPERM", "true"]
    return (
        shutil.which("strace") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_be_traced(), reason="strace may not trace here")
@pytest.mark.parametrize(("concerned", "call", "error", "when"), CHOSEN)
def test_the_agent_is_well_again_when_the_kernel_is(lab, tmp_path, concerned, call, error, when):
    agent = AtWork(lab, tmp_path)
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(agent.pid)]
    fault = error if "=" in error else f"error={error}"
    command += ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={when}"]
    if concerned == "files":
        command += ["-P", str(agent.places), "-P", str(agent.state)]
    kernel = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        agent.watched_for(MAXIMUM + 4)
    finally:
        kernel.send_signal(signal.SIGINT)
        kernel.wait(20)
    agent.is_as_before()
