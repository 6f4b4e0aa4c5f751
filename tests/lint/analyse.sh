#!/bin/bash
# analyse: cppcheck over both sides, and a few checks of clang-tidy that find mistakes rather than tastes.
# A finding that is wrong is silenced where it stands, with the reason: // NOLINT(check): why, or cppcheck-suppress.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${BUILD:-build}
status=0
checks=-*
for check in bugprone-{sizeof-container,suspicious-enum-usage,suspicious-include,suspicious-mem*,suspicious-semicolon} \
	bugprone-{string-*,infinite-loop,integer-division,misplaced-*,posix-return,redundant-branch-condition} \
	bugprone-{signal-handler,terminating-continue,too-small-loop-variable,undefined-*,assert-side-effect} \
	bugprone-swapped-arguments misc-redundant-expression misc-misplaced-const; do
	checks+=,$check
done

if command -v cppcheck >/dev/null; then
	mkdir -p "$build/lint/cppcheck"
	cppcheck --quiet -j2 --enable=warning,portability --inline-suppr --error-exitcode=1 --std=c11 --language=c \
		--cppcheck-build-dir="$build/lint/cppcheck" --suppress=missingInclude --suppress=preprocessorErrorDirective \
		--suppress=shiftTooManyBitsSigned `# gcc shifts signed numbers arithmetically` \
		-D__x86_64__ -D_GNU_SOURCE -DMTRACE_VERSION='"0"' -U__cplusplus -Ilibmtrace -Itools --template=gcc \
		$(find libmtrace tools -name '*.c' | sort) || status=1
else
	echo "skipped cppcheck: not installed"
fi

if command -v clang-tidy >/dev/null; then
	find libmtrace tools -name '*.c' | sort | xargs -P2 -n6 sh -c '
		checks=$1
		shift
		clang-tidy --quiet --warnings-as-errors="*" --checks="$checks" "$@" -- -std=gnu11 -D_GNU_SOURCE \
			-DMTRACE_VERSION="\"0\"" -Ilibmtrace -Itools 2>/dev/null' sh "$checks" || status=1
else
	echo "skipped clang-tidy: not installed"
fi
exit $status
