"""workloads: the rows of `make bench`: what is run, how large, and the limits of design section 8. One table.

A size of 1 takes a second or more untracked on a two-core server of 2024, so that starting a tool is not the figure.
"""
import hashlib
import os
import re
import subprocess

from runs import Failure, run_command, run_redis

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))

PARSE_JSON = """import json, sys
data = json.dumps([{"id": i, "name": f"n{i}", "tags": ["a", str(i), 1.5 * i]} for i in range(20000)])
for _ in range(int(sys.argv[1])):
    print(len(json.loads(data)))
"""
BUILD_TABLE = """CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %(rows)d)
INSERT INTO t SELECT i, printf('name-%%08d-%%d', i * 7919 %% %(rows)d, i), i * 1.5 FROM n;
CREATE INDEX by_name ON t(name);
CREATE INDEX by_value ON t(value, name);
SELECT count(*), sum(id), min(name), max(name) FROM t;
"""
JAVA_UNIT = """package unit;
import java.util.*;
import java.util.function.*;
import java.util.stream.*;

public class Unit%(n)d {
    record Key(String name, int number) implements Comparable<Key> {
        public int compareTo(Key o) { return Comparator.comparing(Key::name).thenComparingInt(Key::number).compare(this, o); }
    }
    sealed interface Shape permits Circle, Square {}
    record Circle(double radius) implements Shape {}
    record Square(double side) implements Shape {}
    static <T extends Comparable<T>, R> Map<R, List<T>> group(Collection<T> in, Function<? super T, ? extends R> by) {
        return in.stream().sorted().collect(Collectors.groupingBy(by, TreeMap::new, Collectors.toList()));
    }
    static double area(Shape s) {
        if (s instanceof Circle c) return c.radius() * c.radius() * Math.PI;
        return s instanceof Square q ? q.side() * q.side() : 0;
    }
    public static Map<Integer, List<Key>> run(int many) {
        List<Key> keys = IntStream.range(0, many).mapToObj(i -> new Key("k" + i %% 7, i)).collect(Collectors.toList());
        Map<Integer, List<Key>> all = group(keys, k -> k.number() %% %(n)d);
        all.replaceAll((k, v) -> v.stream().filter(x -> x.name().length() > 1).map(x -> new Key(x.name() + k, x.number()))
            .sorted(Comparator.reverseOrder()).limit(10).collect(Collectors.toCollection(ArrayList::new)));
        switch (many %% 3) { case 0 -> all.clear(); case 1 -> all.put(1, List.of()); default -> all.remove(2); }
        return all;
    }
}
"""


class Workload:
    """One row. command(size) gives the words; files are made once; produced files are part of the output compared."""

    def __init__(self, key, title, limit, command, *, dormant=1.02, run=run_command, environment=None, stdin=None,
                 files=None, prepare=None, produces=(), says=None, java=False, whole=False, weight=1.0, options="",
                 alone=False):
        self.key, self.title, self.limit, self.dormant_limit = key, title, limit, dormant
        self.command, self.run, self.environment, self.stdin = command, run, environment or {}, stdin
        self.files, self.prepare, self.produces, self.says = files, prepare, produces, says
        self.java = java  # a JVM: async-profiler is its agent instead of a preload
        self.whole = whole  # cannot be made smaller
        self.weight = weight  # of the time there is, its part beside the other rows'
        self.options = options  # for MTRACE_OPTIONS
        self.alone = alone  # without peers: another row has them
        self.directory = None

    def make(self, directory):
        """Its files, in a directory of its own."""
        self.directory = os.path.join(directory, self.key)
        os.makedirs(self.directory)
        if self.prepare:
            self.prepare(self)

    def run_once(self, around, size, limit):
        """One run; its output is what it printed and what it made. Failure when it said something else than it must."""
        if self.files:
            for name, text in self.files(size).items():
                with open(os.path.join(self.directory, name), "w") as f:
                    f.write(text)
        done = self.run(around, self.command(size), self.environment, self.directory, limit, self.stdin)
        if self.says and not re.search(self.says, done.output):
            raise Failure("its output is not what it must be")
        done.output = b"" if self.says else done.output
        for name in self.produces:
            with open(os.path.join(self.directory, name), "rb") as f:
                done.output += hashlib.sha256(f.read()).digest()
            os.unlink(os.path.join(self.directory, name))
        return done


def count(most, size, least=1):
    return str(max(least, round(most * size)))


def built(name):
    return os.path.join(BUILD, "tests/bench", name)


def prepare_cc1plus(workload):
    """The unit of tests/programs/cc1plus.sh, made by the script's own lines."""
    with open(os.path.join(ROOT, "tests/programs/cc1plus.sh")) as f:
        lines = re.search(r"^\{\n.*?^\} >\"\$unit\"$", f.read(), re.M | re.S).group(0)
    subprocess.run(["bash", "-c", lines], env={**os.environ, "unit": os.path.join(workload.directory, "unit.cc"),
                                               "CC_FUNCTIONS": "12"}, check=True)
    subprocess.run(["g++", "-std=c++17", "-E", "unit.cc", "-o", "unit.ii"], cwd=workload.directory, check=True)
    program = subprocess.check_output(["g++", "-print-prog-name=cc1plus"], text=True).strip()
    workload.command = lambda size: [program, "-quiet", "-O1", "-std=c++17", "-fpreprocessed", "unit.ii", "-o", "unit.s"]


def java_class(name, *jars):
    """Compiles one of ours into the workload's directory."""
    def prepare(workload):
        if not all(os.path.exists(jar) for jar in jars):
            raise Failure("not fetched: " + " ".join(os.path.basename(jar) for jar in jars))
        path = ["-cp", ":".join(jars)] if jars else []
        subprocess.run(["javac", *path, "-d", workload.directory, os.path.join(HERE, name + ".java")], check=True,
                       capture_output=True)
    return prepare


def java_units(size):
    return {f"Unit{n}.java": JAVA_UNIT % {"n": n} for n in range(1, int(count(60, size)) + 1)}


ROCKSDB_JAR = os.path.join(BUILD, "artifacts/rocksdbjni-9.7.3-linux64.jar")


def java_rows():
    """Each with full Java frames, as `mtrace run` sets a JVM up; then alone, with stacks that end where Java begins."""
    rows = [
        ("direct", "direct buffers, 4 threads", 1.2, lambda size: ["java", "-Xmx256m", "Direct", "4", "1000", count(1e6, size)],
         {"prepare": java_class("Direct")}),
        ("deflate", "Deflater create/end", 1.2, lambda size: ["java", "-Xmx256m", "Deflate", count(800000, size)],
         {"prepare": java_class("Deflate")}),
        ("javac", "javac, 60 classes", 1.12,
         lambda size: ["javac", "-J-Xmx512m", "-proc:none", "-d", "classes"] + list(java_units(size)),
         {"files": java_units, "produces": ["classes/unit/Unit1.class"], "weight": 1.5}),
        ("rocksdbjni", "RocksDB writing through JNI", 1.15,
         lambda size: ["java", "-Xmx256m", "-cp", ".:" + ROCKSDB_JAR, "Rocks", "db", count(1.2e6, size)],
         {"prepare": java_class("Rocks", ROCKSDB_JAR)}),
    ]
    for key, title, limit, command, more in rows:
        yield Workload(key, "JVM, Java frames: " + title, limit, command, java=True, **more)
        more = {**more, "weight": 0.4}
        yield Workload(key + "-native", "JVM, native frames only (java=0): " + title, limit, command, java=True, alone=True,
                       options="java=0", **more)


WORKLOADS = [
    Workload("micro", "micro: malloc/free, depth 12, one thread", 3.2,
             lambda size: [built("micro"), count(150e6, size)], dormant=None),
    Workload("churn", "churn: 4 threads, 100 k live each, 200 stacks", 1.5,
             lambda size: [built("churn"), "4", "100000", count(500000, size)]),
    Workload("larson", "larson: 4 chains of threads, cross-thread frees", 2.2,
             lambda size: [built("larson"), "4", "1000", count(16e6, size), "20"]),
    Workload("cfrac", "cfrac: continued fractions, small numbers", 1.5,
             lambda size: [built("cfrac"), count(45, size)]),
    Workload("redis", "redis: SET/GET/LPUSH, pipelined", 1.12,
             lambda size: ["-t", "set,get,lpush", "-n", count(300000, size), "-c", "20", "-P", "16", "-r", "50000", "-d",
                           "100"], run=run_redis),
    Workload("rocksdb", "RocksDB: db_bench fillrandom", 1.15,
             lambda size: ["db_bench", "--benchmarks=fillrandom", "--num=" + count(300000, size), "--db=db", "--seed=1"],
             says=rb"fillrandom +:"),
    Workload("sqlite", "sqlite: a million rows and two indexes", 1.2, lambda size: ["sqlite3", ":memory:"],
             stdin="build.sql", files=lambda size: {"build.sql": BUILD_TABLE % {"rows": int(count(1e6, size))}}),
    Workload("cpython", "CPython: JSON, PYTHONMALLOC=malloc", 1.45,
             lambda size: ["/usr/bin/python3", "-S", "-B", "parse.py", count(60, size)],
             files=lambda size: {"parse.py": PARSE_JSON}, environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
    Workload("cc1plus", "cc1plus: the unit of tests/programs/cc1plus.sh, -O1", 1.25, None, prepare=prepare_cc1plus,
             produces=["unit.s"], whole=True, weight=2.0),
    *java_rows(),
]
