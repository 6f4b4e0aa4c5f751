#!/bin/bash
# java: a compiler compiles a real code base (246 files of commons-lang) on each JDK, under each collector and compiler of the
# JVM, traced and not: the same classes, the same status, and fewer than one capture in ten thousand with a stack that was lost,
# each counted. It is javac where the JDK has it, else Eclipse's, which runs on a Java runtime. `make soak`; many minutes.
#
# JDKS="17 25" and JAVA_SETS="-Xint" pick some. A collector that this JVM does not have is left out.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"
. "$tests/lib/jvm.sh"
sources=$BUILD/artifacts/commons-lang3-3.14.0-sources.jar
eclipse=$BUILD/artifacts/ecj-3.36.0.jar
sets=${JAVA_SETS:-"-XX:+UseG1GC
-XX:+UseSerialGC
-XX:+UseParallelGC
-XX:+UseZGC
-XX:+UseZGC -XX:+ZGenerational
-XX:+UseShenandoahGC
-Xmx64m
-XX:+UseG1GC -Xmx128m -Xcheck:jni
-XX:TieredStopAtLevel=1
-XX:-TieredCompilation
-Xint
-Xcomp -XX:TieredStopAtLevel=1
-Xcomp"}

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

# compiler HOME OPTION…: the command that compiles, but for where to
compiler() {
	local home=$1
	shift
	if [ -x "$home/bin/javac" ]; then
		command=("$home/bin/javac" "${@/#/-J}")
	else
		command=("$home/bin/java" "$@" -cp "$eclipse" org.eclipse.jdt.internal.compiler.batch.Main -17)
	fi
	command+=(-nowarn -encoding UTF-8 "@$work/files")
}

lost='.stacks_lost_in_java + .stacks_no_rules + .stacks_bad_rules + .stacks_unreadable'

# One line: "not the same …", "a stack …", or nothing.
compare() {
	local plain=$1 traced=$2 stacks
	[ "$plain" = 0 ] && [ "$traced" = 0 ] || echo "status $traced, untracked $plain: $(tail -c 300 "$work/err")"
	diff <(classes "$work/plain") <(classes "$work/traced") | head -3
	[ "$(classes "$work/traced" | wc -l)" -gt 300 ] || echo "hardly any classes"
	diff "$work/out.plain" "$work/out" | head -3
	echo "no report" >"$work/figures"
	bounded 300 "$mtrace" report --json -n 1 "$work/rec.mtr" >"$work/report.json" && # all its frames are half a gigabyte of JSON
		bounded 300 "$mtrace" export --to folded --allocated -o "$work/folded" "$work/rec.mtr" || return
	stacks=$(grep -c ';[^;]*\.Main\.compile;' "$work/folded")
	echo "$(query "$work/report.json" ".processes[0] | \"\(.totals.alloc_blocks) blocks, \(.trust.counters | $lost) stacks lost\""), \
$stacks stacks beneath Main.compile" >"$work/figures"
	[ "$stacks" -gt 1000 ] || echo "only $stacks stacks with Java frames"
	query "$work/report.json" ".processes[0] | .totals.alloc_blocks as \$n | .trust |
		(.drops | to_entries[] | select(.value != 0) | \"drop \(.key) \(.value)\"),
		(.counters | $lost | select(. * 10000 >= \$n) | \"\(.) stacks lost of \(\$n)\")"
}

# compiled VERSION HOME OPTION…: one check
compiled() {
	local version=$1 home=$2 command plain
	shift 2
	rm -rf "$work/plain" "$work/traced"
	mkdir "$work/plain" "$work/traced"
	compiler "$home" "$@"
	bounded 900 "${command[@]}" -d "$work/plain" >"$work/out.plain" 2>"$work/err.plain"
	plain=$?
	MTRACE_OPTIONS="dir=$segments" bounded 1800 "$mtrace" run -q -f --no-symbols -o "$work/rec.mtr" -- \
		"${command[@]}" -d "$work/traced" >"$work/out" 2>"$work/err"
	compare $plain $? >"$work/said" 2>&1
	verdict "JDK $version, $(basename "${command[0]}") $*: $(cat "$work/figures")" "$work/said"
}

# has HOME OPTION…: the JVM has what these ask for, and does not pass over any of it
has() {
	"$1/bin/java" "${@:2}" -version >"$work/said" 2>&1 && ! grep -q "Ignoring option" "$work/said"
}

while read -r version home <&4; do
	if [ ! -x "$home/bin/javac" ] && [ ! -e "$eclipse" ]; then
		skip "JDK $version" "it has no compiler, and Eclipse's could not be fetched"
		continue
	fi
	while read -r line <&3; do
		read -r -a options <<<"$line"
		has "$home" "${options[@]}" || { skip "JDK $version, $line" "this JVM has none"; continue; }
		compiled "$version" "$home" "${options[@]}"
	done 3<<<"$sets"
done 4< <(jdks)
skip_absent_jdks
suite_end
