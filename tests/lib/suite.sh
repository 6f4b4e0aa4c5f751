# suite: what the shell suites share. Sourced as the first line of a suite; it ends with `suite_end`.
#
# A suite is a list of checks, each said once by `pass NAME`, `fail NAME WHY` or `skip NAME WHY`. It works in its own
# directory $work (removed at the end unless KEEP=1), with segments in its own $segments, so that suites can run side
# by side and no other process's segment is ever touched. Nothing listens beyond loopback; what is started in the
# background is ended by its pid. A suite never hangs: `bounded SECONDS CMD…`.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset LD_PRELOAD MTRACE_OPTIONS MALLOC_ARENA_MAX PYTHONMALLOC DEBUGINFOD_URLS
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(dirname "$tests")
BUILD=$(cd "$root" && realpath "${BUILD:-build}")
shim=$BUILD/libmtrace.so
mtrace=$BUILD/mtrace
victims=$BUILD/tests/victims
suite_name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/mtrace-test.$suite_name.XXXXXX")
segments=$(mktemp -d "/dev/shm/mtrace-test.$suite_name.XXXXXX")
export HOME=$work XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state
mkdir -p "$XDG_STATE_HOME" "$XDG_CACHE_HOME"
passed=0 failed=0 skipped=0
background=()

suite_cleanup() {
	local pid
	for pid in "${background[@]:-}"; do
		[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$segments"
	if [ "${KEEP:-0}" = 1 ]; then
		echo "kept: $work"
	else
		rm -rf "$work"
	fi
}
trap suite_cleanup EXIT
trap 'exit 130' INT TERM

pass() {
	passed=$((passed + 1))
	echo "ok      $suite_name: $1"
}

fail() {
	failed=$((failed + 1))
	echo "FAILED  $suite_name: $1: ${2:-}"
}

skip() {
	skipped=$((skipped + 1))
	echo "skipped $suite_name: $1: ${2:-}"
}

# verdict NAME FILE: passes when FILE is empty, else fails with its first lines.
verdict() {
	if [ -s "$2" ]; then
		fail "$1" "$(head -c 1500 "$2" | head -8 | tr '\n' ';')"
	else
		pass "$1"
	fi
}

# expect NAME WANTED GOT
expect() {
	[ "$2" = "$3" ] && pass "$1" || fail "$1" "wanted '$2', got '$3'"
}

suite_end() {
	local total=$((passed + failed))
	local percent=$((total ? 100 * passed / total : 0))
	echo "$percent%: Checks: $total, Failures: $failed, Errors: 0, Skipped: $skipped"
	[ "$failed" = 0 ] && [ "$total" -gt 0 ]
	exit
}

bounded() {
	timeout --kill-after=5 "$@"
}

# within SECONDS COMMAND…: tries it until it succeeds; 1 when it has not by then.
within() {
	local tries=$(($1 * 50))
	shift
	while ! "$@"; do
		[ $((tries -= 1)) -gt 0 ] || return 1
		sleep 0.02
	done
}

# Runs in the background, to be ended at the latest when the suite ends. Its pid is in $!.
in_background() {
	"$@" &
	background+=($!)
}

# runs COMMAND…: in the suite's own shell as a child; in a subshell (after &) in its place, so that $! is its pid.
runs() {
	[ "$BASHPID" = $$ ] || exec "$@"
	"$@"
}

# preload [KEY=VALUE:…] -- CMD…: plain preload with nobody reading; the segment lands in $segments.
preload() {
	local options=
	[ "$1" = -- ] || { options=:$1; shift; }
	shift
	runs env LD_PRELOAD="$shim" MTRACE_OPTIONS="dir=$segments$options" "$@"
}

# traced REC CMD…: under `mtrace run`, segments in $segments; a run that hangs is a failure (status 124).
traced() {
	local rec=$1
	shift
	runs env MTRACE_OPTIONS="dir=$segments" timeout --foreground --kill-after=5 "${TRACED_SECONDS:-300}" "$mtrace" run -f -o "$rec" -- "$@"
}

# json TARGET OUT: the whole report; says so and returns 1 when there is none.
json() {
	bounded 120 "$mtrace" report --json "$1" >"$2" 2>"$2.err" && [ -s "$2" ] && return 0
	echo "mtrace report --json $1: $(head -c 300 "$2.err")"
	return 1
}

# query FILE FILTER: one value out of a JSON file.
query() {
	jq -r "$2" "$1" 2>/dev/null
}

# segment_of PID: the newest segment of that pid in $segments.
segment_of() {
	find "$segments" -name "mtrace.$1.*" | sort -V | tail -1
}

has_segment() {
	[ -n "$(segment_of "$1")" ]
}

clear_segments() {
	find "$segments" -maxdepth 1 -name 'mtrace.*' -delete
}

# trust_of JSON [UNKNOWN]: prints what in the trust box is not as it must be: unknown frees (at most UNKNOWN), implicit
# frees, truncated stacks, drops, an empty record, and stacks that do not add up. Prints nothing when all is well.
# Frames are cut off first: jq would need gigabytes for a family's.
trust_of() {
	"$tests/lib/without_frames.py" <"$1" | jq -r --argjson unknown "${2:-0}" -f "$tests/lib/trust.jq" 2>&1
}

# trusted NAME TARGET [UNKNOWN]: one check: its report, left in $work/report.json, has nothing for trust_of to say.
trusted() {
	json "$2" "$work/report.json" >"$work/said" && trust_of "$work/report.json" "${3:-0}" >"$work/said"
	verdict "$1" "$work/said"
}

# compare_truth TRUTH REPORT OPTION…: prints where a report is not what the victim itself knows (truth.py --help).
compare_truth() {
	"$tests/programs/truth.py" "$@"
}

# agrees NAME TARGET TRUTH OPTION…: one check: its report, left in $work/report.json, is what the victim knows.
agrees() {
	local name=$1 target=$2 truth=$3
	shift 3
	json "$target" "$work/report.json" >"$work/said" && compare_truth "$truth" "$work/report.json" "$@" >"$work/said"
	verdict "$name" "$work/said"
}

# like_untracked NAME STATUS PLAIN [WANTED]: the status is the untracked run's (and WANTED), and so is what it wrote:
# $work/out is $work/out.plain.
like_untracked() {
	[ "$2" = "$3" ] && [ "$3" = "${4:-$3}" ] && cmp -s "$work/out" "$work/out.plain" && pass "$1" ||
		fail "$1" "status $2, untracked $3; $(diff "$work/out.plain" "$work/out" | head -5) $(tail -c 300 "$work/err")"
}
