#!/bin/bash
# programs: those of tests/soak/programs.txt that are at hand for `make check` anyway, and quick.
export PROGRAMS="bash dash make perl python gcc lld rustc sqlite jq xmllint zstd tar git sort openssl redis gdb"
export PROGRAMS_LEAST=12
. "$(dirname "$0")/../soak/programs.sh"
