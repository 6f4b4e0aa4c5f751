#!/bin/bash
# tsan: `make tsan`, short: a sixteenth of the rounds.
export TSAN_DIVISOR=${TSAN_DIVISOR:-16}
. "$(dirname "$0")/../tsan/tsan.sh"
