# root: programs in a root of their own, as in a container. Sourced after suite.sh; needs root (can_have_roots).

# Whether namespaces and mounts are to be had here at all.
can_have_roots() {
	[ "$(id -u)" = 0 ] && unshare -mpf --mount-proc true 2>/dev/null
}

# bare_root DIR PROGRAM…: a root with these programs of ours, what they are linked with, and nothing else but the rest of
# libc's own package that the shim asks for.
bare_root() {
	local to=$1 file
	shift
	mkdir -p "$to"/{proc,dev/shm,tmp,etc,bin}
	for file in "$@" $({ ldd "$@"; ldd "$shim"; } | grep -oE '/[^ ]+\.so[^ :]*' | sort -u); do
		mkdir -p "$to$(dirname "$file")"
		cp -L "$file" "$to$file"
	done
	[ -e "$to/bin/sh" ] || ln -sf bash "$to/bin/sh"
}

# in_root DIR CMD…: in new mount and pid namespaces, with its own /proc, /dev/null and an empty /dev/shm.
in_root() {
	local to=$1
	shift
	runs unshare -mpf --kill-child --propagation private sh -c '
		mount -t proc proc "$0/proc" && mount -t tmpfs -o size=64m tmpfs "$0/dev/shm" || exit 125
		[ -e "$0/dev/null" ] || { : >"$0/dev/null" && mount --bind /dev/null "$0/dev/null"; } || exit 125
		exec chroot "$0" "$@"' "$to" "$@"
}

# unpack_dist DIR: what `make dist` packs; suites that run side by side wait for each other.
unpack_dist() {
	mkdir -p "$1" && flock "$BUILD/.dist.lock" sh -c 'make -C "$1" -s BUILD="$2" dist >"$3/make.log" 2>&1 &&
		tar -xzf "$2"/libmtrace-*-linux-x86_64.tar.gz -C "$4" --strip-components=1' sh "$root" "$BUILD" "$work" "$1"
}
