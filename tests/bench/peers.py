"""peers: the trackers beside us, one row each: what is put around a command, and what they leave in their directory.

Each is used as its own documents say: heaptrack by its script, the allocators and LeakSanitizer as preloads,
async-profiler as a preload, and as an agent where the program is a JVM. Nothing of theirs is changed.
"""
import glob
import os
import shutil
import subprocess
import zipfile

from runs import Around

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
JEMALLOC, LSAN = os.path.join(LIBRARIES, "libjemalloc.so.2"), os.path.join(LIBRARIES, "liblsan.so.0")
HEAPTRACK_MOST = 8 << 30  # its interpreter can ask for tens of GiB at once (peers.md, 1): it is to fail, not the machine
PROFILER_JAR = "async-profiler-*.jar"
PROFILER_MEMBER = "linux-x64/libasyncProfiler.so"


class Peer:
    """One column. around(workload, directory) gives an Around, or None where the peer cannot be used."""

    def __init__(self, key, title, package, around, fallback=None):
        self.key, self.title, self.package, self.around, self.fallback = key, title, package, around, fallback


def heaptrack(*options):
    def around(_workload, directory):
        if not shutil.which("heaptrack"):
            return None
        return Around(["heaptrack", *options, "-o", os.path.join(directory, "heaptrack")], address_space=HEAPTRACK_MOST)
    return around


def jemalloc(sample):
    def around(_workload, directory):
        conf = f"prof:true,prof_final:true,lg_prof_sample:{sample},prof_prefix:{directory}/jeprof"
        return Around([], {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": conf}) if os.path.exists(JEMALLOC) else None
    return around


def lsan(_workload, _directory):
    return Around([], {"LD_PRELOAD": LSAN, "LSAN_OPTIONS": "exitcode=0"}) if os.path.exists(LSAN) else None


def profiler(interval):
    def around(workload, directory):
        library = PROFILER.library
        if not library:
            return None
        start = f"start,nativemem={interval},file={directory}/profile.jfr"
        if workload.java:
            return Around([], {"JAVA_TOOL_OPTIONS": f"-agentpath:{library}={start}"})
        return Around([], {"LD_PRELOAD": library, "ASPROF_COMMAND": start})
    return around


class Profiler:
    """async-profiler's library, taken out of the artifact that tests/deps.sh fetched."""

    def __init__(self):
        self.library = self.version = None

    def unpack(self, artifacts, directory):
        for jar in sorted(glob.glob(os.path.join(artifacts, PROFILER_JAR)))[-1:]:
            with zipfile.ZipFile(jar) as z:
                self.library = z.extract(PROFILER_MEMBER, directory)
            self.version = os.path.basename(jar)[len("async-profiler-"):-len(".jar")]


PROFILER = Profiler()

PEERS = [
    Peer("heaptrack", "heaptrack (exact)", "heaptrack", heaptrack(), fallback=("raw", heaptrack("-r"))),
    Peer("lsan", "LSan (exact, 1 frame)", "liblsan0", lsan),
    Peer("jemalloc", "jemalloc prof, 512 KiB", "libjemalloc2", jemalloc(19)),
    Peer("jemalloc-all", "jemalloc prof, every block", "libjemalloc2", jemalloc(0)),
    Peer("asprof", "async-profiler, 512 KiB", None, profiler("512k")),
    Peer("asprof-all", "async-profiler, every block", None, profiler("0")),
]


def versions():
    """What stood beside us: "heaptrack 1.4.0-2, …"."""
    said = []
    for package in dict.fromkeys(peer.package for peer in PEERS if peer.package):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
        said.append(f"{package} {done.stdout or 'not installed'}")
    said.append(f"async-profiler {PROFILER.version or 'not there'}")
    return ", ".join(said)
