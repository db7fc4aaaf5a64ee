# SPDX-License-Identifier: Apache-2.0
"""Real instances of an installation, as processes on loopback.

Each ends with the thread that started it, is ended by its own id, and writes
to a log of its own in the folder that was given."""
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

READY_SECONDS = 20
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def slowness():
    """How much slower a sanitizer makes what is waited for."""
    return max(1, int(os.environ.get("MARGAY_TEST_SLOWNESS") or 1))


def free_ports(count):
    """Ports that nobody has right now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Instance:
    def __init__(self, node, port, command, log):
        self.node, self.port = node, port
        self.command, self.log = command, pathlib.Path(log)
        self.process = None
        self.begin = 0  # of what this start has logged

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def launch(self):
        with open(self.log, "ab") as out:
            self.begin = out.tell()
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG,
                                              signal.SIGKILL))

    def wait_ready(self):
        end = time.monotonic() + READY_SECONDS * slowness()
        while b" ready on " not in self.log.read_bytes()[self.begin:]:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.node} is not ready: "
                                   + self.log.read_text()[-400:])
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """An orderly end, if it will have one."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS * slowness())
        except subprocess.TimeoutExpired:
            self.kill()


class Servers:
    """COUNT instances of one shipped configuration, in FOLDER."""

    def __init__(self, kind, count, stage, folder):
        self.kind, self.instances = kind, []
        ports = free_ports(2 * count)
        members = ",".join(f"127.0.0.1:{port}" for port in ports[count:])
        for i in range(count):
            node = f"node{i + 1}"
            settings = {"node": node, "port": ports[i]}
            if kind == "delta":
                settings["cluster.port"] = ports[count + i]
                settings["cluster.members"] = members
            else:
                settings["store.path"] = f"{folder}/{kind}.db"
            command = [f"{stage}/bin/margay", "run",
                       "-c", f"{stage}/etc/margay/{kind}.xml"]
            for name, value in settings.items():
                command += ["-D", f"{name}={value}"]
            self.instances.append(Instance(
                node, ports[i], command, f"{folder}/{kind}-{node}.log"))

    def start(self):
        """Those that do not run: a member is ready when it has met others."""
        down = [i for i in self.instances
                if not i.process or i.process.poll() is not None]
        for each in down:
            each.launch()
        for each in down:
            each.wait_ready()

    def stop(self):
        for each in self.instances:
            if each.process:
                each.stop()
