#!/bin/bash
# storms: the storms of `make soak`, short: fork, exec, threads by the thousand, libraries, fibers, all at once, signals, kills, endings.
export SOAK_SECONDS=${STORMS_SECONDS:-16} STORM_THREADS=${STORM_THREADS:-500}
. "$(dirname "$0")/../soak/soak.sh"
