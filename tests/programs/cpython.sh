#!/bin/bash
# cpython: CPython's own test suite under mtrace run, every allocation through malloc (PYTHONMALLOC=malloc): each test
# must end as it does untracked. Debian packages it as libpython3.11-testsuite.
. "$(dirname "$0")/../lib/suite.sh"
python=/usr/bin/python3
cd "$work" || exit 2

# one TEST: its result under us; what fails untracked as well is not ours.
one() {
	local name=$1 status
	shift
	PYTHONMALLOC=malloc bounded 400 "$mtrace" run -f -o "$work/rec.mtr" -- \
		$python -W ignore -m test -u none --timeout 300 "$name" "$@" >"$work/out" 2>"$work/err"
	status=$?
	if [ $status = 0 ]; then
		pass "$name"
	elif PYTHONMALLOC=malloc bounded 400 $python -W ignore -m test -u none --timeout 300 "$name" "$@" >"$work/out.plain" 2>&1; then
		fail "$name" "status $status; untracked it is well: $(grep -hE '^(FAIL|ERROR):|^Result|Error' "$work/out" "$work/err" | head -8 | tr '\n' ';')"
	else
		skip "$name" "fails untracked as well"
	fi
	trusted "$name: trust box" "$work/rec.mtr"
	rm -f "$work/rec.mtr"
}

export MTRACE_OPTIONS="dir=$segments"
one test_json
one test_ctypes
one test_threading
one test_subprocess
one test_multiprocessing_fork
suite_end
