/*
 * victim_truth_cxx: victim_truth as C++, with new, new[], aligned and sized operators among its ways to allocate.
 */
#define EXTRA_OPS(X) X(new) X(new_array) X(new_aligned)
#define EXTRA_OPS_FILE "cxx_ops.h"
#include "victim_truth.c"
