#!/usr/bin/python3
"""leaks: drives victim_growth window by window while `mtrace leaks` looks on, and prints what that says.

leaks.py [options] MTRACE VICTIM KIND SEED [-- OPTIONS of mtrace leaks]     with the shim's LD_PRELOAD in $PRELOAD, segments in $DIRECTORY
  --windows N      so many (default 160)
  --pause SECONDS  at least so long each
  --on MODE        line: windows end by handshake, each one when all of it is done (default); mark: at the victim's marks;
                   time: the victim goes on by itself, mtrace as its options say; file: recordings, one a window, in a
                   directory named by --directory, given to mtrace in another order; history: nobody looks; then the
                   process is judged, the same after SIGKILL, and a recording of that: NAME.json in --directory
  --attach         not preloaded: attached to, after the first window
  --kill           kill the victim half way; --interrupt: interrupt mtrace half way

The exit status is that of mtrace leaks; stdout is its stdout.
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time


class Victim:
    def __init__(self, o):
        env = {k: v for k, v in os.environ.items() if k != "PRELOAD"}
        self.process = subprocess.Popen([o.victim, o.kind, o.seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=env if o.attach else {**env, "LD_PRELOAD": os.environ["PRELOAD"]})
        self.pause = o.pause

    def window(self):
        try:
            self.process.stdin.write(b"w")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        if self.process.stdout.read(1) != b".":
            return False
        time.sleep(self.pause)
        return True

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def looker(o, victim, *options, **pipes):
    return subprocess.Popen([o.mtrace, "leaks", *options, *o.options, str(victim.process.pid)], **pipes)


def on_line(o, victim):
    look = looker(o, victim, "--on-line", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    for i in range(o.windows + 1):
        said = look.stderr.readline()
        if said != b"window %d\n" % i:
            sys.exit(f"window {i}: mtrace says {said!r}")
        if i == o.windows // 2 and o.kill:
            victim.process.kill()
            victim.process.wait()
        if i < o.windows:
            if not victim.window() and not o.kill:
                sys.exit("the victim has ended")
            try:
                look.stdin.write(b"\n")
                look.stdin.flush()
            except BrokenPipeError:
                break
            if o.kill and i > o.windows // 2:
                break
    try:
        look.stdin.close()
    except BrokenPipeError:  # what could not be written is tried again: it knew before that the victim was gone
        pass
    sys.stderr.write(look.stderr.read().decode())
    return look.wait()


def while_it_looks(o, victim, look):
    """Windows go on until mtrace has ended; half way it, or the victim, is ended."""
    done = threading.Event()
    threading.Thread(target=lambda: (look.wait(), done.set()), daemon=True).start()
    windows = 0
    while not done.is_set() and windows < 100000:
        if not victim.window():
            break
        windows += 1
        if windows == o.windows // 2 and o.interrupt:
            look.send_signal(signal.SIGINT)
        if windows == o.windows // 2 and o.kill:
            victim.process.kill()
            break
        if windows == o.windows and o.on == "mark":
            look.send_signal(signal.SIGINT)
    return look.wait()


def on_files(o, victim):
    paths = []
    for i in range(o.windows):
        victim.window()
        path = os.path.join(o.directory, f"{i}.mtr")
        subprocess.run([o.mtrace, "baseline", "-o", path, str(victim.process.pid)], check=True, stderr=subprocess.DEVNULL)
        paths.append(path)
    random.Random(int(o.seed)).shuffle(paths)
    return subprocess.run([o.mtrace, "leaks", *o.options, *paths]).returncode


def on_history(o, victim, start):
    """Windows at even times, whatever else the machine does."""
    for i in range(o.windows):
        time.sleep(max(0, start + i * o.pause - time.monotonic()))
        if not victim.window():
            sys.exit("the victim has ended")

    def judge(name, target):
        with open(os.path.join(o.directory, name + ".json"), "w") as out:
            return subprocess.run([o.mtrace, "leaks", *o.options, target], stdout=out).returncode

    segments = os.environ["MTRACE_OPTIONS"].split("dir=")[1].split(":")[0]
    pid = victim.process.pid
    segment = [os.path.join(segments, s) for s in os.listdir(segments) if s.startswith(f"mtrace.{pid}.")][0]
    recording = os.path.join(o.directory, "recording.mtr")
    status = judge("live", str(pid))
    victim.process.kill()
    victim.process.wait()
    status |= judge("killed", segment)
    status |= subprocess.run([o.mtrace, "snap", segment, "-o", recording], stdout=sys.stderr).returncode
    return status | judge("recording", recording)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=160)
    parser.add_argument("--pause", type=float, default=0)
    parser.add_argument("--on", default="line")
    parser.add_argument("--directory")
    parser.add_argument("--attach", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--interrupt", action="store_true")
    parser.add_argument("mtrace")
    parser.add_argument("victim")
    parser.add_argument("kind")
    parser.add_argument("seed")
    parser.add_argument("options", nargs="*")
    o = parser.parse_args()
    victim = Victim(o)
    victim.window()
    if o.attach:
        subprocess.run([o.mtrace, "attach", "--dir", os.environ["DIRECTORY"], str(victim.process.pid)], check=True)
    if o.on == "line":
        status = on_line(o, victim)
    elif o.on == "history":
        victim.pause = 0
        status = on_history(o, victim, time.monotonic())
    elif o.on == "file":
        status = on_files(o, victim)
    else:
        status = while_it_looks(o, victim, looker(o, victim, *(["--on-mark", "window"] if o.on == "mark" else [])))
    victim.end() if victim.process.poll() is None else None
    sys.exit(status)


main()
