#!/bin/bash
# kinds: the other victims that know their own truth: mapped regions, threads, pools, plugins that are unloaded,
# signal handlers, forked children.
. "$(dirname "$0")/../lib/suite.sh"

# both NAME VICTIM ARGUMENTS -- OPTIONS: once recorded, once preloaded; ARGUMENTS follow the truth file.
both() {
	local name=$1 victim=$2 arguments=() status
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		arguments+=("$1")
		shift
	done
	shift
	traced "$work/rec.mtr" "$victims/$victim" "$work/truth" "${arguments[@]}" >"$work/out" 2>"$work/err"
	status=$?
	[ $status = 7 ] || [ $status = 137 ] || fail "$name: exit status" "$status: $(tail -c 300 "$work/err")"
	agrees "$name, recorded" "$work/rec.mtr" "$work/truth" "$@"
	rm -f "$work/rec.mtr"
	preload -- "$victims/$victim" "$work/truth" "${arguments[@]}" >"$work/out" 2>"$work/err" &
	wait $! 2>/dev/null
	agrees "$name, preloaded" "$(segment_of $!)" "$work/truth" "$@"
}

both "mapped regions, exit" victim_mmap exit -- --bytes-only --stacks 8 --end exit:7
both "mapped regions, killed" victim_mmap kill -- --bytes-only --stacks 8 --end killed
both "threads, exit" victim_threads exit -- --stacks 4 --end exit:7
both "threads, killed" victim_threads kill -- --stacks 4 --end killed
both "pool" victim_pool exit -- --stacks 2 --end exit:7
grep -qx 'active 1' "$work/out" && pass "mtrace_active says 1" || fail "mtrace_active says 1" "$(head -c 100 "$work/out")"
[ "$(query "$work/report.json" '[.processes[0].marks[].name] | join(" ")')" = "begin end" ] &&
	pass "marks" || fail "marks" "$(query "$work/report.json" '.processes[0].marks')"
both "plugins loaded and unloaded" victim_plugin exit "$victims/plugin_a.so" "$victims/plugin_b.so" -- --end exit:7 --stacks 3
# What runs on a fiber ends, whole, where makecontext said, not in the program's start.
both "signal handlers" victim_signals exit -- --end exit:7 --stacks 5 --open truth_on_fiber
both "signal handlers, killed" victim_signals kill -- --end killed --stacks 5 --open truth_on_fiber

# ---- forks: each process against its own truth ----

# forked HOW CHILDREN [INHERITED]: the parent's truth and those of its children, in one recording, then preloaded.
forked() {
	local how=$1 children=$2 inherited=$3 n
	rm -f "$work"/fork.*
	traced "$work/rec.mtr" "$victims/victim_fork" "$work/fork" "$how" >"$work/out" 2>"$work/err" ||
		fail "fork $how: exit status" "$(tail -c 300 "$work/err")"
	json "$work/rec.mtr" "$work/report.json" >"$work/said" && family "$children" "$inherited" >"$work/said"
	verdict "fork $how, recorded" "$work/said"

	rm -f "$work"/fork.* "$work/rec.mtr"
	clear_segments
	preload "keep=1000" -- "$victims/victim_fork" "$work/fork" "$how" >"$work/out" 2>"$work/err" ||
		fail "fork $how, preloaded: exit status" "$(tail -c 300 "$work/err")"
	for n in "$segments"/mtrace.*; do
		json "$n" "$work/one.json" >/dev/null && cat "$work/one.json" # a child that did nothing has no report
	done >"$work/all.json"
	jq -s '{schema: 1, processes: [.[].processes[]]}' "$work/all.json" >"$work/report.json"
	family "$children" "$inherited" >"$work/said"
	verdict "fork $how, preloaded" "$work/said"
}

family() {
	local children=$1 inherited=$2 n
	compare_truth "$work/fork.0" "$work/report.json" --end exit:0 --inherited 0 || echo "(the parent)"
	for n in $(seq 1 "$children"); do
		compare_truth "$work/fork.$n" "$work/report.json" --inherited "$inherited" --stacks 3 || echo "(child $n)"
	done
}

forked workers 5 51
forked killed 5 51
forked double 1 51
forked threads 4 51
forked spawn 0 0
forked vfork 0 0

# Nobody asked for the children that exec: only the command itself is in the recording.
traced "$work/rec.mtr" "$victims/victim_fork" "$work/fork" spawn >/dev/null 2>&1
json "$work/rec.mtr" "$work/report.json" >"$work/said"
jq -r '.processes[].exe | split("/") | last | select(. != "victim_fork")' "$work/report.json" >>"$work/said"
verdict "children that exec are not followed unless asked" "$work/said"
MTRACE_OPTIONS="dir=$segments" "$mtrace" run -f --follow true -o "$work/rec.mtr" -- \
	"$victims/victim_fork" "$work/fork" spawn >/dev/null 2>"$work/err"
json "$work/rec.mtr" "$work/report.json" >"$work/said"
[ "$(query "$work/report.json" '[.processes[] | select(.exe | endswith("/true"))] | length')" = 20 ] ||
	echo "expected 20 processes of /bin/true: $(query "$work/report.json" '[.processes[].exe]' | tr '\n' ' ')" >>"$work/said"
verdict "--follow true" "$work/said"
suite_end
