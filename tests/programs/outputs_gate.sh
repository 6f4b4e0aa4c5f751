#!/bin/bash
# outputs_gate: what a gate writes is read by those whose forms they are: JUnit by a schema (xmllint) and by a library that
# reads it for others, SARIF by its schema, GitHub's commands by GitHub's own writer of them, Markdown by a reader of
# CommonMark; the files of the CI examples by the schemas of their services. The outputs are the golden ones, which tests/unit/test_tools_gate_outputs.c has written, escapes and all.
. "$(dirname "$0")/../lib/suite.sh"
artifacts=$BUILD/artifacts
schema=$artifacts/jest-sarif-1.0.0-beta.0/lib/schemas/sarif-2.1.0-rtm.5.json
core=$artifacts/core-1.11.1
PYTHONPATH=$(printf '%s:' "$artifacts"/{junitparser-5.0.3,markdown-it-py-3.0.0,mdurl-0.1.2})
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8

# with FILE NAME COMMAND…: one check, of what the command says; skipped without that file of `make deps`.
with() {
	local file=$1 name=$2
	shift 2
	if [ -e "$file" ]; then
		bounded 60 "$@" >"$work/said" 2>&1 || echo "status $?" >>"$work/said"
		verdict "$name" "$work/said"
	else
		skip "$name" "$(basename "$file") is not there: make deps"
	fi
}

by_schema() {
	xmllint --noout --relaxng "$tests/programs/junit.rng" "$1" 2>&1 | grep -v 'validates$'
	[ "${PIPESTATUS[0]}" = 0 ]
}

for kind in fail pass inconclusive; do
	file=$tests/golden/gate-$kind
	by_schema "$file.xml" >"$work/said" || echo "is not valid" >>"$work/said"
	verdict "$kind: JUnit is valid" "$work/said"
	with "$artifacts/junitparser-5.0.3" "$kind: JUnit is read" "$tests/programs/outputs_gate.py" junit "$file.xml"
	with "$schema" "$kind: SARIF is valid" "$tests/programs/outputs_gate.py" sarif "$file.sarif" "$schema"
	with "$core" "$kind: GitHub's commands" node "$tests/programs/outputs_gate.js" "$core" "$file.github"
	with "$artifacts/markdown-it-py-3.0.0" "$kind: Markdown" "$tests/programs/outputs_gate.py" markdown "$file.md"
done

vendored=$artifacts/check-jsonschema-0.39.0/check_jsonschema/builtin_schemas/vendor
with "$vendored" "the example's workflow is one of GitHub's" "$tests/programs/outputs_gate.py" ci "$root/examples/ci-github/leak-gate.yml" \
	"$vendored/github-workflows.json"
with "$vendored" "the example's jobs are GitLab's" "$tests/programs/outputs_gate.py" ci "$root/examples/ci-gitlab/.gitlab-ci.yml" \
	"$vendored/gitlab-ci.json"
suite_end
