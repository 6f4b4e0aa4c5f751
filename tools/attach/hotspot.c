/*
 * hotspot: see hotspot.h.
 */
#include "attach/hotspot.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "read/read.h"

enum { TEXT_BYTES = 256 << 10, LOOK_MS = 20 };

static int refuse(struct read_error *error, int code, pid_t pid, const char *why)
{
	snprintf(error->text, sizeof error->text, "%d %.450s", (int)pid, why);
	return code;
}

/* ---- files of /proc/PID ---- */

static void proc_path(char path[64], pid_t pid, const char *name)
{
	snprintf(path, 64, "/proc/%d/%s", (int)pid, name);
}

/* Ends in a NUL that is not counted. -errno when it cannot be read. */
static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t bytes)
{
	char path[64];
	proc_path(path, pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t total = 0, n = fd < 0 ? -1 : 0;
	while (fd >= 0 && (size_t)total < bytes - 1 && (n = read(fd, text + total, bytes - 1 - (size_t)total)) > 0)
		total += n;
	int why = errno;
	if (fd >= 0)
		close(fd);
	text[total] = '\0';
	return n < 0 ? -why : total;
}

static uint64_t start_time_of(pid_t pid)
{
	char text[1024];
	const char *at = read_proc(pid, "stat", text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
	for (int field = 2; at && field < 22; field++)
		at = (at = strchr(at + 1, ' ')) ? at : NULL;
	return at ? strtoull(at, NULL, 10) : 0;
}

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	proc_path(path, pid, name);
	return open(path, O_PATH | O_CLOEXEC);
}

/* ---- is it HotSpot? ---- */

/* Other JVMs have a libjvm.so as well; HotSpot's describes its structures by this symbol. */
static bool defines(Elf *elf, const char *name)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	while ((section = elf_nextscn(elf, section)) != NULL) {
		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_DYNSYM || !header.sh_entsize)
			continue;
		Elf_Data *data = elf_getdata(section, NULL);
		GElf_Sym symbol;
		for (size_t i = 0; data && i < header.sh_size / header.sh_entsize && gelf_getsym(data, (int)i, &symbol);
		     i++) {
			const char *found = elf_strptr(elf, header.sh_link, symbol.st_name);
			if (symbol.st_shndx != SHN_UNDEF && found && strcmp(found, name) == 0)
				return true;
		}
	}
	return false;
}

static bool is_hotspot_library(int fd)
{
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	bool is = elf && defines(elf, "gHotSpotVMStructs");
	if (elf)
		elf_end(elf);
	return is;
}

/* The file as it is mapped, whatever became of its name; who may not do that goes by the name, in the process's root. */
static int open_mapped(pid_t pid, const char *range, size_t range_bytes, const char *name)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "/proc/%d/map_files/%.*s", (int)pid, (int)range_bytes, range);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

enum jvm_kind { JVM_NONE, JVM_OTHER, JVM_HOTSPOT };

/* -errno when its mappings may not be read. */
static int find_jvm(pid_t pid)
{
	static const char name[] = "/libjvm.so";
	char path[64], line[PATH_MAX + 256];
	proc_path(path, pid, "maps");
	FILE *maps = fopen(path, "re");
	if (!maps)
		return -errno;
	int kind = JVM_NONE;
	errno = 0;
	while (kind == JVM_NONE && fgets(line, sizeof line, maps)) {
		char *file = strchr(line, '/'), *end = file ? strstr(file, name) : NULL;
		if (!end)
			continue;
		end[sizeof name - 1] = '\0';
		int fd = open_mapped(pid, line, strcspn(line, " "), file);
		kind = fd >= 0 && is_hotspot_library(fd) ? JVM_HOTSPOT : JVM_OTHER;
		if (fd >= 0)
			close(fd);
	}
	int why = ferror(maps) ? errno : 0;
	fclose(maps);
	return why ? -why : kind;
}

/* ---- opening ---- */

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Is it a launcher that has not loaded its JVM yet? */
static bool may_become_jvm(pid_t pid)
{
	char path[64], exe[PATH_MAX];
	proc_path(path, pid, "exe");
	ssize_t n = readlink(path, exe, sizeof exe - 1);
	exe[n > 0 ? n : 0] = '\0';
	const char *slash = strrchr(exe, '/');
	return slash && strcmp(slash, "/java") == 0;
}

static int wait_for_jvm(pid_t pid, unsigned wait_ms, struct read_error *error)
{
	int kind;
	unsigned waited = 0;
	while ((kind = find_jvm(pid)) == JVM_NONE && may_become_jvm(pid) && waited < wait_ms) {
		pause_ms(LOOK_MS);
		waited += LOOK_MS;
	}
	if (kind == JVM_HOTSPOT)
		return 0;
	if (kind == -EACCES || kind == -EPERM)
		return refuse(error, -EACCES, pid, "is another user's process: ask as its user or as root");
	if (kind < 0)
		return refuse(error, -ESRCH, pid, "is no running process");
	if (kind == JVM_OTHER)
		return refuse(error, -ENOEXEC, pid, "is a JVM, but not HotSpot: only HotSpot is known here");
	return refuse(error, -ENOEXEC, pid, "is not a JVM: it has no libjvm.so in it");
}

static int read_status(struct hotspot *jvm, struct read_error *error)
{
	char text[8192];
	uint64_t uid, gid, inner;
	if (read_proc(jvm->pid, "status", text, sizeof text) <= 0 ||
	    !hotspot_status_number(text, "Uid:", 1, 10, &uid) || !hotspot_status_number(text, "Gid:", 1, 10, &gid))
		return refuse(error, -ESRCH, jvm->pid, "is no running process");
	if (!hotspot_status_number(text, "NSpid:", -1, 10, &inner))
		inner = (uint64_t)jvm->pid;
	jvm->uid = (uid_t)uid;
	jvm->gid = (gid_t)gid;
	jvm->inner_pid = (pid_t)inner;
	if (geteuid() == 0 || geteuid() == jvm->uid)
		return 0;
	snprintf(error->text, sizeof error->text,
	         "%d runs as another user (uid %u, and we are %u), and a JVM answers only its own user and root",
	         (int)jvm->pid, jvm->uid, geteuid());
	return -EACCES;
}

static void read_options(struct hotspot *jvm)
{
	char *arguments = calloc(1, TEXT_BYTES), *environment = calloc(1, TEXT_BYTES);
	ssize_t argument_bytes = arguments ? read_proc(jvm->pid, "cmdline", arguments, TEXT_BYTES) : -1;
	ssize_t environment_bytes = environment ? read_proc(jvm->pid, "environ", environment, TEXT_BYTES) : -1;
	if (arguments && environment)
		hotspot_read_options(jvm, arguments, argument_bytes > 0 ? (size_t)argument_bytes : 0, environment,
		                     environment_bytes > 0 ? (size_t)environment_bytes : 0);
	free(arguments);
	free(environment);
}

static int open_places(struct hotspot *jvm, struct read_error *error)
{
	jvm->root = open_proc(jvm->pid, "root");
	jvm->working = open_proc(jvm->pid, "cwd");
	if (jvm->root < 0)
		return refuse(error, -EACCES, jvm->pid,
		              "cannot be looked into (its root directory is closed to us): ask as root");
	jvm->temporary = openat(jvm->root, "tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (jvm->temporary < 0)
		return refuse(error, -ENOENT, jvm->pid, "sees no directory /tmp, where a JVM listens: give it one");
	return 0;
}

int hotspot_open(pid_t pid, unsigned wait_ms, struct hotspot *jvm, struct read_error *error)
{
	*jvm = (struct hotspot){.pid = pid, .process = -1, .root = -1, .temporary = -1, .working = -1};
	jvm->start_time = start_time_of(pid);
	jvm->process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (!jvm->start_time)
		return refuse(error, -ESRCH, pid, "is no running process");
	int code = wait_for_jvm(pid, wait_ms, error);
	if (code == 0)
		code = read_status(jvm, error);
	if (code == 0)
		code = open_places(jvm, error);
	if (code == 0)
		read_options(jvm);
	if (code == 0 && !hotspot_is_there(jvm))
		code = refuse(error, -ESRCH, pid, "has ended");
	if (code)
		hotspot_close(jvm);
	return code;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void hotspot_close(struct hotspot *jvm)
{
	close_one(&jvm->process);
	close_one(&jvm->root);
	close_one(&jvm->temporary);
	close_one(&jvm->working);
}

/* ---- what it is doing ---- */

bool hotspot_is_there(const struct hotspot *jvm)
{
	return start_time_of(jvm->pid) == jvm->start_time;
}

bool hotspot_catches_quit(const struct hotspot *jvm)
{
	char text[8192];
	uint64_t caught;
	return read_proc(jvm->pid, "status", text, sizeof text) > 0 &&
	       hotspot_status_number(text, "SigCgt:", 0, 16, &caught) && (caught >> (SIGQUIT - 1) & 1);
}

/* Through its root: a symbolic link there is followed as the process would, but for absolute ones, which lead out of it. */
bool hotspot_sees(const struct hotspot *jvm, const char *path)
{
	struct stat ours, its;
	while (*path == '/')
		path++;
	char whole[PATH_MAX];
	snprintf(whole, sizeof whole, "/%s", path);
	return stat(whole, &ours) == 0 && fstatat(jvm->root, *path ? path : ".", &its, 0) == 0 &&
	       ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
}

/* The pidfd was taken before its start time was compared: it is that process's, or its signal fails. */
int hotspot_send_quit(const struct hotspot *jvm)
{
	if (!hotspot_is_there(jvm))
		return -ESRCH;
	long failed = jvm->process >= 0 ? syscall(SYS_pidfd_send_signal, jvm->process, SIGQUIT, NULL, 0)
	                                : kill(jvm->pid, SIGQUIT);
	return failed ? -errno : 0;
}

/* ---- who asks ---- */

/* The group first: it takes root to change it. */
int hotspot_become(const struct hotspot *jvm)
{
	if (geteuid() != 0 || (jvm->uid == 0 && jvm->gid == getegid()))
		return 0;
	if (setegid(jvm->gid) != 0)
		return -errno;
	return seteuid(jvm->uid) == 0 ? 0 : -errno;
}

void hotspot_become_self(void)
{
	if (seteuid(getuid()) == 0 && setegid(getgid()) != 0)
		return;
}
