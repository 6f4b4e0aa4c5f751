"""runs: how one command is run and what it took: seconds, output, peaks of memory. No policy, no table.

Each run is a session of its own, so that whatever a wrapper started ends with it when its time is up. Nothing is ever
ended by name. A run that ends badly raises Failure.
"""
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

LOOK_SECONDS = 0.02  # between two looks at the peaks: VmHWM only grows, so only the last of them counts


class Failure(Exception):
    """A run that did not do what it does untracked."""


class OutOfTime(Failure):
    """A run that was stopped by its limit."""


class Watch(threading.Thread):
    """Peak resident memory of a process and of what it starts: the tool's own processes apart from the rest."""

    TOOLS = ("mtrace", "heaptrack")

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.over, self.peaks = pid, threading.Event(), {}
        self.start()

    def run(self):
        while not self.over.wait(LOOK_SECONDS):
            self._look(self.pid)

    def _look(self, pid):
        try:
            with open(f"/proc/{pid}/status") as f:
                text = f.read()
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                children = f.read().split()
        except (OSError, ProcessLookupError):
            return
        name, peak = re.search(r"^Name:\t(.*)$", text, re.M), re.search(r"^VmHWM:\s+(\d+)", text, re.M)
        if name and peak:
            self.peaks[pid] = (name.group(1), int(peak.group(1)) * 1024)
        for child in children:
            self._look(int(child))

    def end(self):
        self.over.set()
        self.join()
        tool = [peak for name, peak in self.peaks.values() if name.startswith(self.TOOLS)]
        rest = [peak for name, peak in self.peaks.values() if not name.startswith(self.TOOLS)]
        return max(rest, default=0), max(tool, default=0)


class Run:
    """What one run took. own_ns and own_peak are the program's own figures, where it prints them (N ns/op, peak N kB)."""

    def __init__(self, seconds, output, talk, peaks):
        self.seconds, self.output = seconds, output
        self.target_peak, self.tool_peak = peaks
        figure, peak = re.search(rb"([\d.]+) ns/(op|pair)", talk), re.search(rb"^peak (\d+) kB$", talk, re.M)
        self.own_ns = float(figure.group(1)) if figure else None
        self.own_peak = int(peak.group(1)) * 1024 if peak else None


class Around:
    """What is put around a command: words before it, variables in its environment, a limit on its address space."""

    def __init__(self, prefix=(), environment=None, address_space=None):
        self.prefix, self.environment, self.address_space = list(prefix), environment or {}, address_space

    def start(self, command, environment, directory, stdin=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        limit = self.address_space
        bound = (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if limit else None
        return subprocess.Popen(self.prefix + command, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                                env={**os.environ, **environment, **self.environment}, cwd=directory,
                                start_new_session=True, preexec_fn=bound)


UNTRACKED = Around()


def how_it_ended(status):
    if status >= 0:
        return f"status {status}"
    return signal.Signals(-status).name


def end_session(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()
    try:
        os.unlink(f"/tmp/heaptrack_fifo{process.pid}")  # its script's own name for it; it could not do so itself
    except OSError:
        pass


def wait_for(process, limit):
    try:
        output, talk = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        end_session(process)
        raise OutOfTime(f"stopped after {limit:.0f} s") from None
    if process.returncode != 0:
        raise Failure(how_it_ended(process.returncode))
    return output or b"", talk or b""


def run_command(around, command, environment, directory, limit, stdin=None):
    with open(os.path.join(directory, stdin) if stdin else os.devnull) as source:
        began = time.monotonic()
        process = around.start(command, environment, directory, stdin=source)
        watch = Watch(process.pid)
        try:
            output, talk = wait_for(process, limit)
            seconds = time.monotonic() - began
        finally:
            peaks = watch.end()
    return Run(seconds, output, talk, peaks)


# ---- redis: the server is what is tracked --------------------------------------------------------------------------

def ask_redis(path, words):
    """One command on the server's socket; its answer's first line."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(b" ".join(words) + b"\r\n")
        return s.recv(256)


def await_redis(path, server, limit):
    until = time.monotonic() + limit
    while True:
        try:
            if ask_redis(path, [b"PING"]) == b"+PONG\r\n":
                return
        except OSError:
            pass
        if time.monotonic() > until or server.poll() is not None:
            raise Failure("redis-server did not start")
        time.sleep(0.005)


def load_redis(path, load, server, limit):
    """redis-benchmark spins for ever on a dead server: the server is watched meanwhile."""
    client = subprocess.Popen(["redis-benchmark", "-s", path, "-q"] + load, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + limit
    while True:
        try:
            client.wait(0.5)
            break
        except subprocess.TimeoutExpired:
            if server.poll() is not None or time.monotonic() > until:
                end_session(client)
                raise (OutOfTime(f"stopped after {limit:.0f} s") if server.poll() is None else
                       Failure(how_it_ended(server.returncode))) from None
    if client.returncode != 0:
        raise Failure(f"redis-benchmark: {how_it_ended(client.returncode)}")


def run_redis(around, load, environment, directory, limit, _stdin=None):
    """From the server's start until it is gone, shut down after the load. Nothing listens but a socket file."""
    path = os.path.join(directory, "socket")
    began = time.monotonic()
    server = around.start(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                           "--dir", directory], environment, directory, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    watch = Watch(server.pid)
    try:
        await_redis(path, server, 20)
        load_redis(path, load, server, limit)
        keys = ask_redis(path, [b"DBSIZE"])
        try:
            ask_redis(path, [b"SHUTDOWN", b"NOSAVE"])
        except OSError:
            pass
        wait_for(server, limit)
        seconds = time.monotonic() - began
    finally:
        peaks = watch.end()
        if server.poll() is None:
            end_session(server)
    if not re.match(rb":[1-9]", keys):
        raise Failure("redis holds no keys after the load")
    return Run(seconds, b"loaded", b"", peaks)
