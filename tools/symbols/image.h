/*
 * image: an ELF file made again from what a process has mapped of it, for files that are deleted and that only root may
 * open through the process (/proc/PID/map_files wants a capability; /proc/PID/mem wants no more than ptrace does).
 *
 * What the loader maps is there: code, the build-id, the dynamic symbols. What it does not map is not: names of static
 * functions, lines. Called by keep.c and files.c; reads the other process, never writes into it.
 */
#ifndef MTRACE_SYMBOLS_IMAGE_H
#define MTRACE_SYMBOLS_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

/* The file that process has mapped at `address`. A descriptor of a memory file, read from its start, or -1. */
int image_of_mapping(pid_t pid, uint64_t address);

#endif
