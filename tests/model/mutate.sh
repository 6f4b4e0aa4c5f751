#!/bin/bash
# mutate: the room of a mutant with its fault: `mutate.sh ROOM-NAME`. mutants.def: "ROOM NAME s/…/…/ what it is".
set -eu
cd "$(dirname "$0")/../.."
room=${1%%-*} name=${1#*-}
change=$(sed -n "s/^$room $name \(.*\)/\1/p" tests/model/mutants.def)
changed=$(sed "$change" "libmtrace/$room.c")
[ "$changed" != "$(cat "libmtrace/$room.c")" ] || { echo "mutants.def: $room $name changes nothing" >&2; exit 1; }
printf '%s\n' "$changed"
