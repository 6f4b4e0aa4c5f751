#!/usr/bin/env python3
"""outputs_gate: asks a real reader whether it can read what a gate wrote: outputs_gate.py junit|sarif|markdown FILE [SCHEMA];
and whether a CI service would read the file of an example: outputs_gate.py ci FILE SCHEMA.

Prints what is wrong, and nothing when all is well."""
import html
import json
import re
import sys


def junit(path):
    import junitparser
    names = set()
    for suite in junitparser.JUnitXml.fromfile(path):
        cases = list(suite)
        kinds = [type(case.result[0]).__name__ if case.result else "passed" for case in cases]
        for what, wanted, got in (("tests", suite.tests, len(cases)), ("failures", suite.failures, kinds.count("Failure")),
                                  ("errors", suite.errors, kinds.count("Error")),
                                  ("skipped", suite.skipped, kinds.count("Skipped"))):
            if wanted != got:
                print(f"{what}: says {wanted}, has {got}")
        for case in cases:
            if (case.classname, case.name) in names:
                print(f"twice: {case.classname} {case.name}")
            names.add((case.classname, case.name))
            for result in case.result:
                if not result.message:
                    print(f"no message: {case.name}")
                if type(result).__name__ == "Failure" and "rule  " not in (result.text or ""):
                    print(f"no text: {case.name}")


def sarif(path, schema):
    import jsonschema
    with open(path, encoding="utf-8") as f, open(schema, encoding="utf-8") as s:
        document, rules = json.load(f), json.load(s)
    for error in jsonschema.validators.validator_for(rules)(rules).iter_errors(document):
        print(f"{'/'.join(map(str, error.path))}: {error.message[:200]}")
    for run in document["runs"]:
        ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        seen = set()
        inconclusive = not run["invocations"][0]["executionSuccessful"]
        for result in run["results"]:
            if ids[result["ruleIndex"]] != result["ruleId"]:
                print(f"rule {result['ruleIndex']} is not {result['ruleId']}")
            level = "error" if not result["suppressions"] and inconclusive == 0 else "warning" if inconclusive else "note"
            if result["level"] != level:
                print(f"level {result['level']}, not {level}")
            if not result["locations"]:
                print(f"no location: {result['ruleId']}")
            fingerprint = result["partialFingerprints"]["mtraceStack/v1"]
            if not re.fullmatch("[0-9a-f]{16}", fingerprint) or fingerprint in seen:
                print(f"fingerprint {fingerprint}")
            seen.add(fingerprint)
            for location in result["locations"]:
                place = location.get("physicalLocation", {}).get("artifactLocation")
                if place and "uriBaseId" in place and (place["uri"].startswith("/") or ".." in place["uri"].split("/")):
                    print(f"no path of the repository: {place['uri']}")


def markdown(path):
    from markdown_it import MarkdownIt
    with open(path, encoding="utf-8") as f:
        text = f.read()
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [t for token in tokens for t in [token, *(token.children or [])]]
    for token in flat:
        if token.type in ("html_block", "html_inline", "link_open", "image", "em_open", "s_open", "code_inline"):
            print(f"markup that nobody wrote: {token.type} {token.content[:60]!r}")
    cells = [token.children and token.content for i, token in enumerate(tokens) if tokens[i - 1].type == "td_open"]
    for row in range(0, len(cells), 4):
        if not re.fullmatch(r"[0-9.]+ ([KMGT]i)?B", cells[row + 3]):
            print(f"a row whose last cell is {cells[row + 3]!r}")
    blocks = [t.content for t in tokens if t.type == "fence"]
    failing = text.count("| **fails** |")
    headings = [h for h in re.findall(r"<h3>(\d+)\. ", MarkdownIt().render(text))]
    if len(headings) != failing or sum("rule    " in b for b in blocks) != failing:
        print(f"{failing} rows fail, {len(headings)} headings, {len(blocks)} blocks")
    for block in blocks:
        if "If this is a cache" in block and not re.search(r"\n# mtrace: reason=.*\nleak:.*\n$", block):
            print(f"a page that does not end with the suppression: {html.escape(block[-200:])!r}")


def ci(path, schema):
    import jsonschema
    import yaml
    with open(path, encoding="utf-8") as f, open(schema, encoding="utf-8") as s:
        document, rules = yaml.safe_load(f), json.load(s)
    if True in document:  # what YAML 1.1 makes of the word on
        document["on"] = document.pop(True)
    for error in jsonschema.validators.validator_for(rules)(rules).iter_errors(document):
        print(f"{'/'.join(map(str, error.path))}: {error.message[:200]}")


if __name__ == "__main__":
    {"junit": junit, "sarif": sarif, "markdown": markdown, "ci": ci}[sys.argv[1]](*sys.argv[2:])
