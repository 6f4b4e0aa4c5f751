#!/bin/sh
# oldest: does a library load on that glibc, by the versions of the symbols that it refers to? `oldest.sh LIBRARY 2.31`;
# prints the newest version that it needs where that is too new, and nothing otherwise.
set -eu
newest=$(objdump -T "$1" | grep -F '*UND*' | grep -oE 'GLIBC_[0-9.]+' | cut -d_ -f2 | sort -uV | tail -1)
[ -n "$newest" ] || { echo "oldest: $1 refers to no glibc at all" >&2; exit 1; }
[ "$(printf '%s\n' "$newest" "$2" | sort -V | tail -1)" = "$2" ] || { echo "oldest: $1 needs glibc $newest, above $2" >&2; exit 1; }
