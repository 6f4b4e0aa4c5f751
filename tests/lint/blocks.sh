# blocks: the fenced blocks of a Markdown file. Sourced by readme.sh and examples.sh.

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
