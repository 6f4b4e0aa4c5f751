#!/bin/bash
# unwatched: programs that nobody looks at for UNWATCHED_SECONDS (600), with the history that every program keeps: what
# `mtrace leaks` says of each then, the same after SIGKILL, and of a recording. All at the same time: they sleep.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
seconds=${UNWATCHED_SECONDS:-600}
windows=$((seconds / 2))
# KIND | what blocks they are | the verdict
table() {
	cat <<-END
		leak|malloc|leak
		slow|malloc|leak
		steps|malloc|leak
		maps|mmap|leak
		threads|thread|leak
		lru|malloc|cache
		map_lru|mmap|cache
		workers|thread|cache
		lazy|malloc|gc-lag
	END
}

remember() {
	mkdir -p "$work/$1"
	PRELOAD=$shim MTRACE_OPTIONS="dir=$segments" bounded $((seconds + 120)) "$tests/programs/leaks.py" --on history \
		--windows $windows --pause 2 --directory "$work/$1" "$mtrace" "$victims/victim_growth" "$1" 7 -- --json 2>"$work/$1/err"
	echo $? >"$work/$1/status"
}

# judged FILE BLOCK: the verdicts of what it holds, but for what comes and goes beside it
judged() {
	jq -r --arg block "$2" '[.processes[0].stacks[] | select(.kind == $block and ([.frames[].function] |
		index("hold") and (any(. == "traffic") | not))) | .verdict] | unique | join(" ")' "$1"
}

looking=()
while IFS='|' read -r kind block wanted; do
	in_background remember "$kind"
	looking+=($!)
done < <(table)
wait "${looking[@]}"
while IFS='|' read -r kind block wanted; do
	{
		[ "$(cat "$work/$kind/status")" = 0 ] || tail -1 "$work/$kind/err"
		for of in live killed recording; do
			got=$(judged "$work/$kind/$of.json" "$block")
			[ "$got" = "$wanted" ] || echo "$of: $got"
			[ "$(query "$work/$kind/$of.json" '.processes[0].growth | .from_history and .windows >= 16 and
				.rss_bytes_begin > 0 and .rss_bytes_end > 0')" = true ] || echo "$of: no history, or none of resident memory"
		done
	} >"$work/said"
	verdict "$kind is $wanted after $seconds s, running, killed, recorded" "$work/said"
done < <(table)
# Its curve, for who reads this.
"$mtrace" leaks -n 1 "$work/leak/recording.mtr" | sed -n '/^  observed/,/^     hold/p'
suite_end
