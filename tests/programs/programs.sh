#!/bin/bash
# programs: those of tests/soak/programs.txt that are at hand for `make check` anyway, and quick.
export PROGRAMS="bash dash make perl python gcc lld sqlite jq xmllint zstd tar sort redis"
export PROGRAMS_LEAST=10
. "$(dirname "$0")/../soak/programs.sh"
