#!/bin/bash
# make-fixtures: writes tests/compat/vN-*.mtr and their expected JSON for the version N of the recording that this
# source writes. Needed once for each new RECORDING_VERSION; stored files of older versions are never made anew, since
# what they test is that files from back then can still be read. Usage: tests/compat/make-fixtures.sh TEST-PROGRAM
# where TEST-PROGRAM is the built test_tools_recording.
set -eu
program=$(realpath "${1:?usage: $0 build/.../test_tools_recording}")
cd "$(dirname "$0")/../.."
CK_RUN_CASE=versions MTRACE_FIXTURES=write "$program"
chmod 644 tests/compat/*.mtr
ls -l tests/compat/*.mtr
