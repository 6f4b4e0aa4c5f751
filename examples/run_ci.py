#!/usr/bin/python3
"""run_ci: runs here what a CI service would: run_ci.py WORKFLOW|.gitlab-ci.yml.

The commands of each job, one step after the other, until one fails; then those steps that run always. What only the service can
do (uses:), and what installs packages there (a step of that name, before_script:), is left out, and said. The status is that of
the first step that failed."""
import os
import subprocess
import sys

import yaml


def steps_of(job):
    """Of a GitHub job its steps, of a GitLab job its script."""
    for step in job.get("steps", []):
        name = step.get("name") or step.get("uses")
        yield name, None if name == "packages" else step.get("run"), step.get("if") == "always()"
    if "before_script" in job:
        yield "before_script", None, False
    if "script" in job:
        yield "script", "\n".join(job["script"]), False


def run(job, environment):
    failed = 0
    for name, command, always in steps_of(job):
        if failed and not always:
            continue
        if command is None:
            print(f"-- {name}: the service does that", flush=True)
            continue
        print(f"-- {name}", flush=True)
        status = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", command], env=environment, check=False).returncode
        failed = failed or status
    return failed


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = yaml.safe_load(file)
    jobs = document.get("jobs") or {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    here = os.getcwd()
    environment = dict(os.environ, CI="true", GITHUB_WORKSPACE=here, GITHUB_STEP_SUMMARY=os.path.join(here, "summary.md"))
    status = 0
    for job in jobs.values():
        status = run(job, environment) or status
    return status


if __name__ == "__main__":
    sys.exit(main())
