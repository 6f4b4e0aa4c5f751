#!/bin/bash
# licences: whose code a static program has in it: `licences.sh DIR libdw libelf …` copies the licence of each library's
# Debian package, as it is on this machine, and the texts that these refer to, into DIR, and lists package, version and
# source in DIR/README. Nothing of that is kept in the tree. Called by `make dist`.
set -eu
export LC_ALL=C
to=$1
shift

# describe ARCHIVE: "package version source source-version"
describe() {
	local file package
	file=$(realpath "$(gcc -print-file-name="$1.a")")
	package=$(dpkg -S "$file" 2>/dev/null | head -1 | cut -d: -f1)
	[ -n "$package" ] || { echo "licences: no Debian package owns $file: its licence must be added by hand" >&2; return 1; }
	dpkg-query -W -f '${Package} ${Version} ${source:Package} ${source:Version}\n' "$package" | head -1
}

{
	cat <<'END'
bin/mtrace is linked statically with these libraries, unchanged, as Debian builds them; each has its licence beside this
file. Those under the GNU LGPL may be replaced by versions of your own: the source of mtrace is free (LICENSE), and
`make dist` in it links anew with the libraries that are installed. Their own sources are Debian's source packages of
the name and version given here. lib/libmtrace.so has none of them in it.

library      package            version                  source
END
	for archive in "$@"; do
		line=$(describe "$archive")
		read -r package version source source_version <<<"$line"
		cp "/usr/share/doc/$package/copyright" "$to/$package.txt"
		printf '%-12s %-18s %-24s %s %s\n' "$archive" "$package" "$version" "$source" "$source_version"
	done
} >"$to/README"
grep -ohE '/usr/share/common-licenses/[A-Za-z0-9.-]+' "$to"/*.txt | sed 's/\.$//' | sort -u | while read -r text; do
	cp -L "$text" "$to/$(basename "$text")"
done
chmod 644 "$to"/*
