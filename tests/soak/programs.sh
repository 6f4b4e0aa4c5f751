#!/bin/bash
# programs: real programs of Debian's archive (programs.txt) under exact mode, all their children traced too: the same
# output and status as untracked, nothing dropped, and their record can be read. `make soak`; tests/programs/programs.sh is
# a short list for `make check`.
#
# PROGRAMS="perl ruby" picks some. Both runs are in a directory of the same path and content. One whose package is not
# there is left out, and said; PROGRAMS_LEAST is how many must have run. PROGRAMS_MUTATE=1 has every traced run say one
# word more: all must fail.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
list=$tests/soak/programs.txt
here=$work/here
ran=0

is_picked() {
	[ -z "${PROGRAMS:-}" ] || [[ " $PROGRAMS " == *" $1 "* ]]
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# once HOW…: the command in a fresh copy of what its setup left; outputs in $work/out and $work/err, and its status
once() {
	rm -rf "$here" && cp -a "$work/ready" "$here" || return
	(cd "$here" && exec timeout --kill-after=5 "${PROGRAM_SECONDS:-90}" "$@") >"$work/out" 2>"$work/err" </dev/null
}

# A Java launcher says which variable it took options from: `mtrace run` gives the agent to JVMs below a shell by that one.
same_words() {
	sed -i '/^NOTE: Picked up JDK_JAVA_OPTIONS: -agentpath:/d' "$work/err"
	diff "$work/err.plain" "$work/err" >"$work/words" || { echo "on stderr: $(head -5 "$work/words" | tr '\n' ';')"; }
}

look_at_record() {
	json "$work/rec.mtr" "$work/report.json" || return
	query "$work/report.json" '.processes[] | . as $p | .trust.drops | to_entries[] | select(.value != 0) |
		"\($p.exe): drop \(.key) \(.value)"' | head -5
	query "$work/report.json" '[.processes[].totals.alloc_blocks] | add // 0 | select(. < 100) | "only \(.) blocks in all"'
}

compare() {
	local name=$1 setup=$2 command=$3 plain status
	rm -rf "$work/ready" "$work/rec.mtr" && mkdir -m 755 "$work/ready"
	(cd "$work/ready" && bash -c "$setup") >"$work/setup.log" 2>&1 </dev/null
	once bash -c "$command"
	plain=$?
	mv "$work/out" "$work/out.plain" && mv "$work/err" "$work/err.plain"
	[ "${PROGRAMS_MUTATE:-0}" = 1 ] && command="$command; echo more"
	once env MTRACE_OPTIONS="dir=$segments" "$mtrace" run -q -f --no-symbols --follow '*' -o "$work/rec.mtr" -- bash -c "$command"
	status=$?
	{
		[ $status = $plain ] || echo "status $status, untracked $plain"
		cmp "$work/out.plain" "$work/out" 2>&1 || diff "$work/out.plain" "$work/out" | head -4
		same_words
		[ -s "$work/out.plain" ] || echo "it says nothing at all: $(head -c 200 "$work/err.plain" "$work/setup.log")"
		look_at_record
	} >"$work/said" 2>&1
	verdict "$name" "$work/said"
	clear_segments
}

chmod 711 "$work" && chmod 1777 "$segments"
while IFS= read -r line <&3; do
	read -r name package <<<"${line%% ::*}"
	is_picked "$name" || continue
	is_installed "$package" || { skip "$name" "$package is not installed"; continue; }
	rest=${line#* ::}
	compare "$name" "${rest%% :: *}" "${rest#* :: }"
	ran=$((ran + 1))
done 3< <(grep -E '^[^#]' "$list")
least=${PROGRAMS_LEAST:-40}
[ $ran -ge "$least" ] && pass "$ran programs ran" || fail "programs" "$ran ran, $least must"
suite_end
