#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# f_service.sh: margay as a service of systemd: the unit is right, READY=1 comes
# when it serves and STOPPING=1 when it begins to stop, the journal gets lines
# with a priority and without a time.
set -u
exec "${PYTHON:-python3}" - "$@" <<'PYTHON'
import os, shutil, signal, socket, subprocess, sys, tempfile

stage = os.environ["MARGAY_STAGE"]
margay = stage + "/bin/margay"
work = tempfile.mkdtemp(prefix="service-")
passed = failed = skipped = 0
running = []

def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("ok" if good else "FAILED", what)

def verify():
    global skipped
    if not shutil.which("systemd-analyze"):
        skipped += 1
        print("skipped systemd-analyze: not there (Debian package systemd)")
        return
    text = open(stage + "/lib/systemd/system/margay@.service").read()
    unit = work + "/margay@8081.service"
    lines = [f"ExecStart={margay} run" + line.split("/margay run", 1)[1]
             if line.startswith("ExecStart=") else line
             for line in text.split("\n")]
    open(unit, "w").write("\n".join(lines))
    # the manual pages are found once they are installed
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                          capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.split("\n") if "margay@" in line]
    check(done.returncode == 0 and not ours, "the unit is right")
    if done.returncode or ours:
        print(done.stderr)
    # what it says of secrets
    own = [line[4:] for line in text.split("\n") if line.startswith("#   ")]
    own = own[own.index("[Service]"):]
    open(unit, "a").write("\n".join([""] + own + [""]))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                          capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.split("\n") if "margay@" in line]
    check(len(own) == 3 and done.returncode == 0 and not ours,
          "with a secret as it says as well")
    if done.returncode or ours:
        print(done.stderr)
    check("@bindir@" not in text and "@sysconfdir@" not in text,
          "its paths are those of the installation")

def start(arguments, told):
    read, write = os.pipe()
    at = os.fstat(write)
    environment = dict(os.environ, NOTIFY_SOCKET=told.getsockname(),
                       JOURNAL_STREAM=f"{at.st_dev}:{at.st_ino}",
                       STATE_DIRECTORY=work)
    server = subprocess.Popen([margay] + arguments, stderr=write,
                              stdout=subprocess.DEVNULL, env=environment)
    running.append(server)
    os.close(write)
    return server, os.fdopen(read)

def listen(name):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(work + "/" + name)
    told.settimeout(60)
    return told

def run():
    told = listen("run")
    server, said = start(["run", "-D", "port=0"], told)
    ready = told.recv(4096).decode().split("\n")
    check(ready[0] == "READY=1", "READY=1 when it serves")
    check(ready[1].startswith("STATUS=ready on http://127.0.0.1:"),
          "and where")
    server.send_signal(signal.SIGTERM)
    check(told.recv(4096) == b"STOPPING=1", "STOPPING=1 when it stops")
    check(server.wait(60) == 0, "it ends in order")
    lines = said.read().split("\n")
    logged = [line for line in lines if line.startswith("<6>node1 ")]
    check(logged, "the journal gets lines with a priority")
    check(not [line for line in lines if " INFO " in line],
          "and no second time and level")

def refused():
    told = listen("refused")
    server, said = start(["run", "-D", "port=none"], told)
    check(server.wait(60) == 1, "a bad configuration is status 1")
    lines = said.read().split("\n")
    check(lines[0].startswith("<3>"), "and an error in the journal")
    told.settimeout(0)
    try:
        told.recv(4096)
        check(False, "nobody is told that it is ready")
    except BlockingIOError:
        check(True, "nobody is told that it is ready")

def cluster():
    told = listen("cluster")
    for base in range(20000 + os.getpid() % 9000, 32000, 10):
        server, said = start(["cluster", "-n", "2", "-p", str(base),
                              "-D", "drain=0", "--manager", "standard"], told)
        told.settimeout(10)
        try:
            ready = told.recv(4096)
        except TimeoutError:
            ready = b""
        if ready.startswith(b"READY"):
            break
        server.kill() # somebody else has one of the ports
        server.wait()
    check(ready == b"READY=1\nSTATUS=2 instances are ready",
          "margay cluster says it once, for all")
    server.send_signal(signal.SIGTERM)
    check(told.recv(4096) == b"STOPPING=1", "and that it stops")
    check(server.wait(60) == 0, "it ends in order")

try:
    verify()
    run()
    refused()
    cluster()
finally:
    for server in running:
        if server.poll() is None:
            server.kill()
    shutil.rmtree(work)
print(f"# cases {passed} {failed} {skipped}")
sys.exit(1 if failed else 0)
PYTHON
