#!/bin/bash
# java: javac compiles a real code base (246 files of commons-lang) under each collector and compiler of the JVM, traced
# and not: the same classes, the same status, and no stack lost in Java code. `make soak`; minutes.
#
# JAVA_SETS="-Xint" picks some. A collector that this JVM does not have is left out.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
sources=$BUILD/artifacts/commons-lang3-3.14.0-sources.jar
sets=${JAVA_SETS:-"-XX:+UseG1GC
-XX:+UseSerialGC
-XX:+UseParallelGC
-XX:+UseZGC
-XX:+UseShenandoahGC
-XX:+UseG1GC -Xmx128m -Xcheck:jni
-XX:TieredStopAtLevel=1
-XX:-TieredCompilation
-Xint
-Xcomp -XX:TieredStopAtLevel=1"}

if [ ! -e "$sources" ]; then
	fail "the code base is there" "$sources: make soak fetches it; could it not?"
	suite_end
fi
mkdir "$work/tree" && (cd "$work/tree" && unzip -q "$sources")
find "$work/tree" -name '*.java' >"$work/files"

# classes DIRECTORY: names and contents.
classes() {
	(cd "$1" && find . -type f | sort | xargs sha256sum)
}

# One line: "not the same …", "a stack …", or nothing.
compare() {
	local plain=$1 traced=$2
	[ "$plain" = 0 ] && [ "$traced" = 0 ] || echo "status $traced, untracked $plain: $(tail -c 300 "$work/err")"
	diff <(classes "$work/plain") <(classes "$work/traced") | head -3
	diff "$work/out.plain" "$work/out" | head -3
	json "$work/rec.mtr" "$work/report.json" || return
	query "$work/report.json" '.processes[0].trust | (.drops | to_entries[] | select(.value != 0) | "drop \(.key) \(.value)"),
		(.counters | to_entries[] | select(.key == "stacks_lost_in_java" or .key == "stacks_no_rules") | select(.value != 0) |
		"\(.key) \(.value)")'
	query "$work/report.json" '[.processes[0].stacks[] | select(any(.frames[]; .language == "java"))] | length | select(. < 1000) |
		"only \(.) stacks with Java frames"'
}

while read -r line <&3; do
	read -r -a options <<<"$line"
	java "${options[@]}" -version >/dev/null 2>&1 || { skip "$line" "this JVM has none"; continue; }
	rm -rf "$work/plain" "$work/traced"
	mkdir "$work/plain" "$work/traced"
	command=(javac "${options[@]/#/-J}" -nowarn -encoding UTF-8 "@$work/files")
	bounded 900 "${command[@]}" -d "$work/plain" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	MTRACE_OPTIONS="dir=$segments" bounded 1800 "$mtrace" run -q -f --no-symbols -o "$work/rec.mtr" -- \
		"${command[@]}" -d "$work/traced" >"$work/out" 2>"$work/err"
	compare $plain $? >"$work/said" 2>&1
	verdict "javac $line" "$work/said"
done 3<<<"$sets"
suite_end
