/*
 * outputs: a gate's result in the forms that CI services read. Each writes to `out`, knows nothing of files or services, and is
 * the same for the same result. `root`: the directory that paths are relative to, that of the repository; NULL: none.
 */
#ifndef MTRACE_GATE_OUTPUTS_H
#define MTRACE_GATE_OUTPUTS_H

#include <stdio.h>

#include "gate/result.h"

/* JUnit's XML, as Jenkins, GitLab and others read it: a case for each finding and each rule that held; `failure`; `skipped`
   for what is suppressed, with its reason; `error` for a run that allows no verdict. */
void outputs_junit(const struct gate_result *result, const char *root, FILE *out);

/* SARIF 2.1.0: a result for each finding; what is suppressed is there, and says so. */
void outputs_sarif(const struct gate_result *result, const char *root, FILE *out);

/* Commands of GitHub's runner, for stdout: the worst ten, since no more are shown. */
void outputs_github(const struct gate_result *result, const char *root, FILE *out);

/* A page of Markdown, below the mebibyte that a step summary may have. */
void outputs_markdown(const struct gate_result *result, FILE *out);

/* The command, without what looks like a secret: these pages go to more people than a terminal. malloc'd. */
char *outputs_command(const struct gate_result *result);

#endif
