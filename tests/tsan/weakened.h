/* weakened: what TSan must find out. Included before all else of one room: its releases order nothing any more. */
#include <stdatomic.h>
#define memory_order_release memory_order_relaxed
#define memory_order_acq_rel memory_order_acquire
