/*
 * locate: where things are that `mtrace run` and `mtrace doctor` need before a program starts: the program itself,
 * the shim, a directory in memory for segments, and where a recording may go. Nothing here is created or changed,
 * but for the state directory.
 */
#ifndef MTRACE_RUN_LOCATE_H
#define MTRACE_RUN_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

#define LOCATE_PATH_BYTES 4096

/* The file that `name` means, as execvp would find it. 0; -ENOENT: not found; -EACCES and others: not executable. */
int locate_command(const char *name, char path[LOCATE_PATH_BYTES]);

/* libmtrace.so beside this program, in ../lib, or in the install prefix. 0, or -ENOENT with the places in `path`. */
int locate_shim(char path[LOCATE_PATH_BYTES]);

/* Where shims put segments when not told: the first that is in memory and writable. NULL: there is none, and `why`
   says what was wrong with /dev/shm. */
const char *locate_segment_dir(const char **why);

/* The directory of read_last_path(), made if missing (0700). 0, or -errno. */
int locate_state_dir(char path[LOCATE_PATH_BYTES]);

bool is_memory_dir(const char *path);
bool is_writable_dir(const char *path);

#endif
