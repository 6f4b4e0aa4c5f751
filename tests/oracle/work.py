"""work: CPython at work for differential.sh: work.py SEED. Parsers, pickles, callbacks through libffi, threads."""
import ast, collections, ctypes, io, json, pickle, random, re, sys, threading, xml.dom.minidom, zlib
random.seed(int(sys.argv[1]))

def value(depth):
    kind = random.randrange(6 if depth else 3)
    if kind < 3:
        return [None, random.random(), "text" * random.randrange(9)][kind]
    if kind == 3:
        return {str(i): value(depth - 1) for i in range(random.randrange(6))}
    return [value(depth - 1) for _ in range(random.randrange(6))]

def serialise():
    for _ in range(30):
        v = value(5)
        assert json.loads(json.dumps(v)) == v and pickle.loads(pickle.dumps(v)) == v

def compile_source():
    with open(random.choice([ast, collections, io, json, re, threading]).__file__) as f:
        text = f.read()
    compile(ast.parse(text), "x", "exec")
    return len(re.findall(r"(\w+)\s*=\s*(?:\w+\.)*\w+\(", text))

def recurse(n):
    return [n] if n == 0 else recurse(n - 1) + [n]

def callback():  # C calling Python calling C: qsort by way of libffi
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(
        lambda a, b: len(str([a[0]] * 3)) - len(str([b[0]] * 3)))
    numbers = (ctypes.c_int * 60)(*[random.randrange(10 ** 6) for _ in range(60)])
    ctypes.CDLL(None).qsort(numbers, 60, 4, compare)

def document():
    text = "<a>" + "".join(f"<b c='{i}'>d</b>" for i in range(60)) + "</a>"
    return zlib.crc32(xml.dom.minidom.parseString(text).toxml().encode())

def everything():
    serialise(), compile_source(), recurse(400), callback(), document()

sys.setrecursionlimit(3000)
everything()
threads = [threading.Thread(target=everything) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
