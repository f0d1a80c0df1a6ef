"""The process between the emulator and a machine's init: it creates the namespaces and cleans up.

It stays outside the machine, a child of the emulator. When the emulator's end of the control socket closes, it kills
the init; when the init ends, it exits. If it dies itself, the kernel signals the init (PR_SET_PDEATHSIG). Without a
process-id namespace it adopts and kills what a killed init leaves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys

from local_aws.machines import frames, init, kernel, processes, root
from local_aws.machines.image import prepare
from local_aws.machines.spec import RUNTIME, Boot, Isolation


def main(control_descriptor: int) -> int:
    """Start a machine on an inherited control socket and wait for its end; return the exit status."""
    control = socket.socket(fileno=control_descriptor)
    got = frames.receive(control)
    if got is None:
        return 1
    boot = Boot(**got[0])
    os.umask(0o022)
    try:
        _namespaces(boot)
    except OSError as error:
        frames.send(control, {"event": "failed", "error": str(error)})
        return 1
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # The init waits for this, so that only one process writes to the socket at a time.
    gate_reader, gate_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        os.close(gate_writer)
        os.read(gate_reader, 1)
        for descriptor in (reader, writer, gate_reader):
            os.close(descriptor)
        os._exit(_init(boot, control))
    os.close(gate_reader)
    frames.send(control, {"event": "pid", "pid": pid})
    os.close(gate_writer)
    status = _watch(control, reader, pid, boot.namespaced)
    if boot.namespaced and os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGINT, signal.SIGHUP):
        # How reboot(2), called without our shims, ends a process-id namespace.
        with contextlib.suppress(OSError):
            frames.send(control, {"event": "shutdown"})
    return 0


def _namespaces(boot: Boot) -> None:
    if boot.isolation == Isolation.OVERLAY:
        kernel.unshare(kernel.CLONE_NEWPID)
    elif boot.isolation == Isolation.USER_NAMESPACE:
        uid, gid = os.geteuid(), os.getegid()
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
        kernel.map_single_user(0, uid, gid)
    else:
        kernel.adopt_orphans()


def _init(boot: Boot, control: socket.socket) -> int:
    try:
        if boot.namespaced:
            kernel.die_with_parent(signal.SIGKILL)
            root.build(boot)
            socket.sethostname(boot.hostname)
            sys.path[0] = f"{RUNTIME}/lib"
        else:
            kernel.die_with_parent(signal.SIGTERM)
            kernel.adopt_orphans()
        if boot.boot_failure:
            raise OSError("the kernel found no init on the image (fault boot_failure)")
        image = prepare(boot)
    except OSError as error:
        frames.send(control, {"event": "failed", "error": str(error)})
        return 1
    return init.enter(boot, image, control)


def _watch(control: socket.socket, wakeup: int, pid: int, namespaced: bool) -> int:
    """Wait for the init, and kill it when the emulator hangs up; return its wait status."""
    poller = select.poll()
    poller.register(control, 0)  # only for the hang-up: the data is the init's
    poller.register(wakeup, select.POLLIN)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        for descriptor, _ in poller.poll():
            if descriptor == wakeup:
                os.read(wakeup, 4096)
            else:
                os.kill(pid, signal.SIGKILL)
                poller.unregister(control)
    if not namespaced:
        processes.end_tree()
    return status
