/*
 * plat_symbols: the dynamic linker's look-ups. Bound to the oldest versions of dlsym and dlopen, so that what is built
 * on a new glibc loads on an old one; there they live in libdl.so.2, which we therefore name as needed.
 * Not async-signal-safe: the loader's lock is taken, and a look-up that fails allocates its message.
 */
#include "plat.h"

#include <dlfcn.h>

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#else
#define OLDEST "GLIBC_2.17"
#endif
__asm__(".symver dlsym, dlsym@" OLDEST);
__asm__(".symver dlopen, dlopen@" OLDEST);

void *plat_symbol_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void *plat_symbol_any(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

void *plat_symbol_of(const char *path, const char *name)
{
	void *handle = dlopen(path[0] ? path : NULL, RTLD_LAZY | RTLD_NOLOAD);
	return handle ? dlsym(handle, name) : NULL; /* the handle stays: the object is pinned as long as we use it */
}

void *plat_load_private(const char *soname)
{
	return dlopen(soname, RTLD_LOCAL | RTLD_NOW);
}

void *plat_symbol_in(void *library, const char *name)
{
	return dlsym(library, name);
}
