# blocks: the fenced blocks of a Markdown file, typed in a scratch tree. Sourced by readme.sh and examples.sh: $work is
# theirs and goes with them, and their exit status is $status, which `wrong WHAT` makes 1.
set -u
export LC_ALL=C.UTF-8
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$root" && realpath "${BUILD:-build}")
work=$(mktemp -d)
status=0
trap 'rm -rf "$work"' EXIT

wrong() {
	echo "$1"
	status=1
}

# type_in BLOCK [NAME=VALUE…]: as in a fresh clone of somebody who has 60 seconds; state, cache and segments are its own.
type_in() {
	local block=$1
	shift
	(cd "$work/tree" && unset MTRACE_OPTIONS LD_PRELOAD &&
		env HOME="$work" XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache" "$@" \
			timeout --kill-after=5 300 bash -e "$block" 2>&1 </dev/null)
}

# list_blocks FILE LANGUAGE DIRECTORY: writes each block of that language to DIRECTORY/NN.LANGUAGE, numbered over all
# blocks of the file; a comment <!-- not run: REASON --> on the line before a block goes to NN.reason.
list_blocks() {
	awk -v language="$2" -v directory="$3" '
		/^<!-- not run: / { reason = $0; sub(/^<!-- not run: /, "", reason); sub(/ *-->$/, "", reason); next }
		/^```/ && !inside { inside = 1; n++; wanted = $0 == "```" language
			name = sprintf("%s/%02d", directory, n)
			if (wanted && reason != "") print reason > (name ".reason")
			reason = ""; next }
		/^```$/ && inside { inside = 0; if (wanted) close(name "." language); next }
		inside && wanted { print > (name "." language); next }
		!inside && NF { reason = "" }' "$1"
}

# A scratch copy of the tree to type commands in, as in a fresh clone that is built: links to everything.
make_scratch() {
	local place=$1 root=$2 build=$3 entry
	mkdir -p "$place"
	for entry in "$root"/*; do
		[ "$(basename "$entry")" = build ] || ln -s "$entry" "$place/"
	done
	ln -s "$build" "$place/build"
}
