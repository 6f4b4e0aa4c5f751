/*
 * plugin: a shared object that victim_plugin loads, uses and unloads. Built several times with other names
 * (-DPLUGIN_LEAK=truth_leak_a …) and other sizes of code, so that their functions lie at other offsets.
 */
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_LEAK
#define PLUGIN_LEAK truth_leak_a
#define PLUGIN_PADDING 1
#endif

void *PLUGIN_LEAK(size_t bytes);
void *plugin_leak(size_t bytes);

/* Room before the functions: where this plugin's code lies must not be where the other's was. */
__attribute__((used, noipa)) void plugin_padding(volatile char *p)
{
#pragma GCC unroll 64
	for (int i = 0; i < PLUGIN_PADDING; i++)
		p[i] = (char)i;
}

__attribute__((noipa)) void *PLUGIN_LEAK(size_t bytes)
{
	void *p = malloc(bytes);
	__asm__ volatile("" ::: "memory");
	return p;
}

__attribute__((noipa)) void *plugin_leak(size_t bytes)
{
	void *p = PLUGIN_LEAK(bytes);
	__asm__ volatile("" ::: "memory");
	return p;
}

/* Allocates while the loader holds its lock, and when it is unloaded. */
static void *own;

__attribute__((constructor)) static void plugin_open(void)
{
	own = malloc(333);
}

__attribute__((destructor)) static void plugin_close(void)
{
	free(own);
}
