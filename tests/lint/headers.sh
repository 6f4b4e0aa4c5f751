#!/bin/bash
# headers: each header compiles alone, and twice; mtrace.h also as C89 and C++, the way users include it.
set -u
cd "$(dirname "$0")/../.." || exit 2
status=0

# alone HEADER COMPILER…
alone() {
	local header=$1
	shift
	printf '#include "%s"\n#include "%s"\n' "$PWD/$header" "$PWD/$header" |
		"$@" -fsyntax-only -Wall -Wextra -Werror -Wno-unused -Ilibmtrace -Itools - || status=1
}

for header in $(find libmtrace tools -name '*.h' | sort); do
	alone "$header" gcc -std=gnu11 -D_GNU_SOURCE -DMTRACE_VERSION='""' -x c
done
alone libmtrace/mtrace.h gcc -std=c89 -pedantic -x c
command -v g++ >/dev/null && alone libmtrace/mtrace.h g++ -std=c++98 -pedantic -x c++
exit $status
