/* plain: what TSan must find out where nothing plain hangs on a release. Included before all else of one room: it loads
   and stores its atomic words by plain moves. */
#include <stdatomic.h>
#undef atomic_store_explicit
#undef atomic_load_explicit
#define plain_word(at) (*(__typeof__((void)0, *(at)) *)(at))
#define atomic_store_explicit(at, value, order) (plain_word(at) = (value))
#define atomic_load_explicit(at, order) plain_word(at)
