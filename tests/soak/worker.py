#!/usr/bin/python3
"""worker: a CPython process that works when told to, forgets all of it when told to, and then says what its libc holds.

Lines of standard input: `work SECONDS SEED`, `rest`, `hold`, `end`. Each is answered by a line: `done ROUNDS`; `rest` when all
is forgotten; `hold BYTES`: the chunks of malloc in use, by mallinfo2 of libc itself; `end`. With GLIBC_TUNABLES=glibc.malloc.tcache_count=0 that leaves none
out and counts none that is free, so that between two rests only what is still held can differ."""
import collections
import ctypes
import gc
import json
import random
import re
import sqlite3
import sys
import threading
import time
import zlib


class Mallinfo2(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>"""
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
cache = collections.OrderedDict()  # what it holds while it works: the newest CACHED documents
CACHED = 4000
rows = sqlite3.connect(":memory:")
rows.execute("create table held (key text, packed blob)")


def document(chance, depth=0):
    if depth > 3 or chance.random() < 0.3:
        return "".join(chance.choices("etaoin shrdlu", k=chance.randrange(60)))
    if chance.random() < 0.5:
        return [document(chance, depth + 1) for _ in range(chance.randrange(6))]
    return {f"key {chance.randrange(1000)}": document(chance, depth + 1) for _ in range(chance.randrange(6))}


def one_round(chance):
    text = json.dumps(document(chance))
    key = f"document {chance.randrange(20000)}"
    cache[key] = json.loads(text)
    cache.move_to_end(key)
    if len(cache) > CACHED:
        cache.popitem(last=False)
    packed = zlib.compress(text.encode())
    rows.execute("insert into held values (?, ?)", (key, packed))
    rows.execute("delete from held where rowid <= (select max(rowid) from held) - 500")
    assert zlib.decompress(packed).decode() == text
    re.compile(f"{key[:10]} ({chance.randrange(100)}|x)").findall(text)
    cycle = [text]
    cycle.append(cycle)


def work(seconds, seed):
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    done = 0
    while time.monotonic() < end:
        threads = [threading.Thread(target=lambda: document(random.Random(seed + done))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            one_round(chance)
        for thread in threads:
            thread.join()
        done += 1
    rows.commit()
    return done


def rest():
    cache.clear()
    rows.execute("delete from held")
    rows.commit()
    rows.execute("vacuum")
    rows.execute("pragma shrink_memory")
    re.purge()
    for _ in range(3):
        gc.collect()


def bytes_held():
    now = libc.mallinfo2()
    return now.uordblks + now.hblkhd


for line in sys.stdin:
    what, *numbers = line.split()
    if what == "work":
        print("done", work(float(numbers[0]), int(numbers[1])), flush=True)
    elif what == "hold":
        print("hold", bytes_held(), flush=True)
    else:
        rest()
        print(what, flush=True)
        if what == "end":
            break
