#!/bin/bash
# tsan: `make tsan`, short: an eighth of the rounds.
export TSAN_DIVISOR=${TSAN_DIVISOR:-8}
. "$(dirname "$0")/../tsan/tsan.sh"
