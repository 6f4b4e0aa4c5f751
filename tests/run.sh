#!/bin/bash
# run: runs suites two at a time, shows what failed, and counts: `tests/run.sh DIR NAME=COMMAND …`.
#
# Called by `make check`. Each suite's output goes to DIR/NAME.log. A suite says how many checks it made in lines like
# check's own "100%: Checks: 3, Failures: 0, Errors: 0"; one that ends non-zero without admitting a failure counts as
# one failure, one that says nothing and ends well as one pass. All run, then the sum is printed, and the exit status
# is 1 when anything failed. JOBS=1 runs them one by one; NAME! runs alone, after the others (it measures time).
set -u
directory=$1
shift
jobs=${JOBS:-2}
limit=${SUITE_SECONDS:-900}
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-300} # of one unit test; check's own 4 s is a busy machine's failure
mkdir -p "$directory"
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here" || exit 2

run_suite() {
	local name=$1 command=$2 started=$SECONDS status
	timeout --kill-after=10 "$limit" bash -c "$command" >"$directory/$name.log" 2>&1 </dev/null
	status=$?
	[ $status = 124 ] && echo "FAILED  $name: still running after $limit s" >>"$directory/$name.log"
	echo "$status $((SECONDS - started))" >"$directory/$name.status"
	show "$name"
}

show() {
	local name=$1 status seconds
	read -r status seconds <"$directory/$name.status"
	if [ "$status" = 0 ]; then
		echo "== $name: $(count "$name" | awk '{ print $1 " passed, " $2 " failed, " $3 " skipped" }') (${seconds} s)"
		grep -E '^skipped ' "$directory/$name.log"
	else
		echo "== $name: FAILED, status $status (${seconds} s); the end of $directory/$name.log:"
		grep -E '^FAILED |:[FE]:' "$directory/$name.log" | head -40
		tail -12 "$directory/$name.log" | cut -c1-400
	fi
}

# passed, failed, skipped of one suite
count() {
	local status
	read -r status _ <"$directory/$1.status"
	awk -v status="$status" '
		match($0, /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/) {
			gsub(/[^0-9 ]/, ""); split($0, n, " ")
			passed += n[2] - n[3] - n[4]; failed += n[3] + n[4]; skipped += n[5]; said = 1
		}
		END {
			if (!said && status == 0) passed = 1
			if (status != 0 && !failed) failed = 1
			print passed + 0, failed + 0, skipped + 0
		}' "$directory/$1.log"
}

is_alone() {
	[[ ${1%%=*} == *! ]]
}

started=$SECONDS
names=()
for suite in "$@"; do
	name=${suite%%=*}
	names+=("${name%!}")
	is_alone "$suite" && continue
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
		wait -n
	done
	run_suite "$name" "${suite#*=}" &
done
wait
for suite in "$@"; do
	name=${suite%%=*}
	is_alone "$suite" && run_suite "${name%!}" "${suite#*=}"
done

passed=0 failed=0 skipped=0
for name in "${names[@]}"; do
	read -r p f s < <(count "$name")
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "all suites took $((SECONDS - started)) s"
line="$passed passed, $failed failed"
[ $skipped = 0 ] || line="$line, $skipped skipped"
echo "$line"
[ $failed = 0 ] && [ $passed -gt 0 ]
