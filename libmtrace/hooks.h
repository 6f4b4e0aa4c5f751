/*
 * hooks: the table of what hooks.c exports, for a library that came late: nobody's calls lead through it by themselves.
 */
#ifndef MTRACE_HOOKS_H
#define MTRACE_HOOKS_H

#include "patch.h"

extern const struct patch_row hooks[] SHIM_OWN;
extern const uint32_t hooks_count SHIM_OWN;

#endif
