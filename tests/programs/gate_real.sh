#!/bin/bash
# gate_real: `mtrace gate` around real programs: redis-server under load passes, and fails with a leaking module; CPython in a
# loop passes, and fails with a leaking extension; a JVM passes once it has collected, and fails with Deflaters that are kept,
# under the name of who made them.
. "$(dirname "$0")/../lib/suite.sh"
export MTRACE_OPTIONS="dir=$segments"
socket=$work/socket

# judged NAME STATUS FUNCTION ARG…: FUNCTION ("" none) is in the first finding's stack, whose frame is pointed at
judged() {
	local name=$1 wanted=$2 function=$3 status got
	shift 3
	rm -f "$socket"
	bounded 240 "$mtrace" gate "$@" >"$work/out" 2>"$work/err"
	status=$?
	sed -n '/^\(PASS\|FAIL\|INCONCLUSIVE\)  /,$p' "$work/out" >"$work/page"
	got=$(awk '/<- your code/ { print $1; exit }' "$work/page")
	[ "$status" = "$wanted" ] && { [ -z "$function" ] || grep -q "^     $function" "$work/page"; } && pass "$name: status $wanted${function:+, $function}" ||
		fail "$name" "status $status, $got: $(head -12 "$work/page" | tr '\n' ';') $(tail -c 300 "$work/err")"
}

# ---- redis ----
redis=(redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$work")
cli="redis-cli -s $socket"
load="redis-benchmark -s $socket -q -t set,get,lpush,hset,sadd,zadd -n ${REDIS_REQUESTS:-4000} -c 20 -P 16 -r 400 -d 100 >/dev/null && $cli del mylist >/dev/null"
sessions="for i in 1 2 3 4 5 6 7 8; do echo session.open user\$i; echo session.close user\$i; done | $cli >/dev/null"
judged "redis-server under load" 0 "" --ready "$cli ping 2>/dev/null | grep -q PONG" --load "$load" --phase warmup:4 --phase work:24 -- "${redis[@]}"
judged "redis-server with a leaking module" 1 history_new --ready "$cli ping 2>/dev/null | grep -q PONG" --load "$sessions" --phase warmup:4 --phase work:24 \
	-- "${redis[@]}" --loadmodule "$BUILD/examples/leak_module.so"

# ---- CPython ----
cat >"$work/leaky.c" <<'END'
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *leaky_upper(PyObject *self, PyObject *text)
{
	PyObject *upper = PyObject_CallMethod(text, "upper", NULL);
	Py_XINCREF(upper); /* once too often */
	return upper;
}
static PyMethodDef methods[] = {{"upper", leaky_upper, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "leaky", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_leaky(void) { return PyModule_Create(&module); }
END
cat >"$work/loop.py" <<'END'
import ctypes, json, sys
mark = ctypes.CDLL(None).mtrace_mark
upper = str.upper
if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
    from leaky import upper
for i in range(520):
    text = json.dumps([{"n": n, "text": "x" * (n % 50), "more": [i, n, {}]} for n in range(60)])
    assert len(json.loads(text)) == 60
    upper("a word of its own " + str(i))
    mark(b"step")
END
headers=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
judged "CPython, JSON in a loop" 0 "" --phase warmup:20 --phase work:500 --mark step -- env PYTHONMALLOC=malloc /usr/bin/python3 "$work/loop.py"
if [ -e "$headers/Python.h" ]; then
	gcc -O2 -g -fPIC -shared -I"$headers" "$work/leaky.c" -o "$work/leaky.so"
	judged "CPython, with a leaking extension" 1 leaky_upper --phase warmup:20 --phase work:500 --mark step -- \
		env PYTHONMALLOC=malloc /usr/bin/python3 "$work/loop.py" "$work"
else
	skip "CPython, with a leaking extension" "no Python.h"
fi

# ---- a JVM ----
javac -g -d "$work" "$tests/programs/java/Gate.java" >"$work/said" 2>&1
verdict "the service is built" "$work/said"
ask="/usr/bin/python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); assert s.recv(9)' $socket"
jvm=(--ready "test -S $socket" --load "for i in 1 2 3; do $ask; done" --settle "jcmd \$PID GC.run >/dev/null" --phase warmup:6 --phase work:20)
java=(java -Xmx100m -Xint -XX:+UseSerialGC -cp "$work" Gate "$socket")
judged "a JVM that closes its Deflaters" 0 "" "${jvm[@]}" -- "${java[@]}"
judged "a JVM that keeps them" 1 "Gate.compress" "${jvm[@]}" -- "${java[@]}" leak
suite_end
