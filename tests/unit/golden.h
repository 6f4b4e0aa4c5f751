/*
 * golden: texts as tests/golden has them. UPDATE=1 rewrites them; then read the difference.
 */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

/* Fails, naming both files, unless tests/golden/NAME is this text. Changes `text`: the version in JSON becomes "x". */
void golden_same(const char *name, char *text);

#endif
