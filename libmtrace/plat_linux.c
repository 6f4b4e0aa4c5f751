/*
 * plat_linux: memory, files, identity, time and limits of the host, by raw system calls.
 *
 * Raw because a hook must leave errno alone, must not meet a cancellation point, and must not call back into an
 * interposed name. arm64 needs only another body of `sys6_any`.
 */
#include "plat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#if defined(__x86_64__)
static long sys6_any(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#else
#error "plat_linux.c: sys6_any is missing for this processor"
#endif

/* Under filters of the program's own. What it needs of the stack, others do not pay for. */
static __attribute__((noinline)) long sys6_asked(long number, long a, long b, long c, long d, long e, long f)
{
	/* cppcheck-suppress uninitvar ; some are addresses of what the kernel fills in */
	uint64_t arguments[6] = {a, b, c, d, e, f};
	return plat_may_call(number, arguments) ? sys6_any(number, a, b, c, d, e, f) : -EPERM;
}

static __attribute__((noinline)) long sys6(long number, long a, long b, long c, long d, long e, long f)
{
	if (unlikely(atomic_load_explicit(&plat_filters, memory_order_relaxed)))
		return sys6_asked(number, a, b, c, d, e, f);
	return sys6_any(number, a, b, c, d, e, f);
}

#define SYS(number, ...) SYS_PICK(__VA_ARGS__, 6, 5, 4, 3, 2, 1)(number, __VA_ARGS__)
#define SYS_PICK(a, b, c, d, e, f, n, ...) SYS_##n
#define SYS_1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS_2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS_3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS_4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS_5(n, a, b, c, d, e) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS_6(n, a, b, c, d, e, f) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static bool is_error(long result)
{
	return (unsigned long)result > -4096UL;
}

/* ---- memory ---------------------------------------------------------------------------------------- */

void *plat_map_private(size_t bytes)
{
	long p = SYS(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (is_error(p))
		return NULL;
	SYS(SYS_madvise, p, bytes, MADV_DONTDUMP);
	return (void *)p;
}

/* An older kernel takes the address for a hint only. */
bool plat_map_zeroes_at(void *p, size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	long at = SYS(SYS_mmap, p, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (!is_error(at) && at != (long)p)
		plat_unmap((void *)at, bytes);
	return at == (long)p;
}

void plat_unmap(void *p, size_t bytes)
{
	SYS(SYS_munmap, p, bytes);
}

int plat_wipe_on_fork(void *p, size_t bytes)
{
	return (int)SYS(SYS_madvise, p, bytes, MADV_WIPEONFORK);
}

/* The kernel reads 8 bytes from `set` before it looks at `how`: EFAULT when it cannot, EINVAL when it could. Where the
   call is forbidden, nothing is readable. */
bool plat_readable(uintptr_t address)
{
	return address >= 4096 && SYS(SYS_rt_sigprocmask, ~0, address & ~7UL, 0, 8) == -EINVAL; /* a NULL set is not read */
}

int plat_map_segment(int fd, size_t bytes, void **base)
{
	long p = SYS(SYS_mmap, 0, bytes, PROT_NONE, MAP_SHARED, fd, 0);
	if (is_error(p))
		return (int)p;
	SYS(SYS_madvise, p, bytes, MADV_DONTDUMP);
	long error = SYS(SYS_madvise, p, bytes, MADV_DONTFORK);
	if (is_error(error)) {
		plat_unmap((void *)p, bytes);
		return (int)error;
	}
	*base = (void *)p;
	return 0;
}

int plat_commit(void *p, size_t bytes)
{
	long error = SYS(SYS_mprotect, p, bytes, PROT_READ | PROT_WRITE);
	if (is_error(error))
		return (int)error;
	do {
		error = SYS(SYS_madvise, p, bytes, MADV_POPULATE_WRITE);
	} while (error == -EINTR || error == -EAGAIN);
	/* Not back to PROT_NONE on failure: another thread may have committed a part of the range, and use it. */
	return is_error(error) ? (int)error : 0;
}

static bool has_mark(int fd, const struct plat_mark *mark)
{
	uint64_t found[2];
	return !mark->offset || (SYS(SYS_pread64, fd, found, sizeof found, mark->offset) == sizeof found &&
				 found[0] == mark->word[0] && found[1] == mark->word[1]);
}

int plat_commit_by_file(const char *path, const struct plat_mark *mark, uint64_t offset, void *p, size_t bytes)
{
	int fd = plat_open(path, O_RDWR | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	long error = has_mark(fd, mark) ? SYS(SYS_fallocate, fd, 0, offset, bytes) : -ESTALE;
	plat_close(fd);
	return is_error(error) ? (int)error : (int)SYS(SYS_mprotect, p, bytes, PROT_READ | PROT_WRITE);
}

int plat_protect(void *p, size_t bytes, int protection)
{
	return (int)SYS(SYS_mprotect, p, bytes, protection);
}

void plat_give_back(void *p, size_t bytes)
{
	SYS(SYS_madvise, p, bytes, MADV_REMOVE);
}

void *plat_mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset)
{
	long p = sys6_any(SYS_mmap, (long)address, (long)bytes, protection, flags, fd, offset);
	return is_error(p) ? MAP_FAILED : (void *)p;
}

int plat_munmap(void *address, size_t bytes)
{
	return is_error(sys6_any(SYS_munmap, (long)address, (long)bytes, 0, 0, 0, 0)) ? -1 : 0;
}

void plat_exit(int status)
{
	for (;;)
		sys6_any(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

/* ---- files ----------------------------------------------------------------------------------------- */

int plat_open(const char *path, int flags, int mode)
{
	return (int)SYS(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

int plat_close(int fd)
{
	return (int)SYS(SYS_close, fd);
}

long plat_read(int fd, void *buffer, size_t bytes)
{
	long n;
	do {
		n = SYS(SYS_read, fd, buffer, bytes);
	} while (n == -EINTR);
	return n;
}

long plat_write(int fd, const void *buffer, size_t bytes)
{
	return SYS(SYS_write, fd, buffer, bytes);
}

long plat_read_at(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	return SYS(SYS_pread64, fd, buffer, bytes, offset);
}

long plat_write_at(int fd, const void *buffer, size_t bytes, uint64_t offset)
{
	return SYS(SYS_pwrite64, fd, buffer, bytes, offset);
}

void plat_file_identity(int fd, uint64_t *device, uint64_t *inode)
{
	struct stat st;
	if (is_error(SYS(SYS_fstat, fd, &st)))
		return;
	*device = st.st_dev;
	*inode = st.st_ino;
}

int plat_truncate_fd(int fd, uint64_t bytes)
{
	return (int)SYS(SYS_ftruncate, fd, bytes);
}

int plat_unlink(const char *path)
{
	return (int)SYS(SYS_unlink, path);
}

long plat_readlink(const char *path, char *buffer, size_t bytes)
{
	long n = SYS(SYS_readlink, path, buffer, bytes - 1);
	buffer[n > 0 ? n : 0] = 0;
	return n;
}

long plat_read_file(const char *path, char *buffer, size_t bytes)
{
	buffer[0] = 0;
	int fd = plat_open(path, O_RDONLY | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	long total = 0, n;
	while ((size_t)total < bytes - 1 && (n = plat_read(fd, buffer + total, bytes - 1 - (size_t)total)) > 0)
		total += n;
	plat_close(fd);
	buffer[total] = 0;
	return total;
}

int plat_lock_exclusive(int fd)
{
	return (int)SYS(SYS_flock, fd, LOCK_EX | LOCK_NB);
}

bool plat_is_locked(int fd)
{
	if (SYS(SYS_flock, fd, LOCK_SH | LOCK_NB) == -EAGAIN)
		return true;
	SYS(SYS_flock, fd, LOCK_UN);
	return false;
}

/* Newer kernels want to be told that it is no program, and say so in their log; older ones do not know the flag. */
int plat_memfd(const char *name)
{
	enum { CLOEXEC = 1, NOEXEC_SEAL = 8 };
	long fd = SYS(SYS_memfd_create, name, CLOEXEC | NOEXEC_SEAL);
	return (int)(fd == -EINVAL ? SYS(SYS_memfd_create, name, CLOEXEC) : fd);
}

bool plat_is_memory_dir(const char *path)
{
	struct statfs fs;
	if (is_error(SYS(SYS_statfs, path, &fs)))
		return false;
	return (uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == RAMFS_MAGIC;
}

bool plat_writable_dir(const char *path)
{
	return !is_error(SYS(SYS_faccessat, AT_FDCWD, path, W_OK | X_OK));
}

uint64_t plat_free_bytes(const char *path)
{
	struct statfs fs;
	if (is_error(SYS(SYS_statfs, path, &fs)))
		return 0;
	return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
}

uint64_t plat_namespace_inode(const char *path)
{
	struct stat st;
	return is_error(SYS(SYS_newfstatat, AT_FDCWD, path, &st, 0)) ? 0 : st.st_ino;
}

bool plat_is_own_fd(int fd)
{
	struct stat st;
	return !is_error(SYS(SYS_fstat, fd, &st)) && S_ISREG(st.st_mode) && st.st_uid == (uid_t)SYS(SYS_geteuid, 0);
}

uint64_t plat_file_bytes(int fd)
{
	struct stat st;
	return is_error(SYS(SYS_fstat, fd, &st)) ? UINT64_MAX : (uint64_t)st.st_size;
}

struct kernel_dirent {
	uint64_t inode;
	int64_t offset;
	unsigned short bytes;
	unsigned char type;
	char name[];
};

int plat_list_dir(const char *path, bool (*visit)(const char *name, void *context), void *context)
{
	char buffer[2048] __attribute__((aligned(8)));
	int fd = plat_open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	bool more = true;
	long n;
	while (more && (n = SYS(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
		for (long at = 0; more && at < n;) {
			const struct kernel_dirent *entry = (const struct kernel_dirent *)(const void *)(buffer + at);
			more = visit(entry->name, context);
			at += entry->bytes;
		}
	}
	plat_close(fd);
	return 0;
}

/* ---- identity, time, limits ---------------------------------------------------------------------------- */

/* Who may not ask is who it was when it last could: forked children know by other means that they are. */
uint32_t plat_pid(void)
{
	static _Atomic uint32_t known;
	long pid = SYS(SYS_getpid, 0);
	if (is_error(pid))
		return atomic_load_explicit(&known, memory_order_relaxed);
	atomic_store_explicit(&known, (uint32_t)pid, memory_order_relaxed);
	return (uint32_t)pid;
}

uint32_t plat_parent_pid(void)
{
	return (uint32_t)SYS(SYS_getppid, 0);
}

/* Above all that the kernel gives out: of a thread that may not ask. */
enum { TID_UNKNOWN = 1 << 30 };

uint32_t plat_tid(void)
{
	long tid = SYS(SYS_gettid, 0);
	return is_error(tid) ? TID_UNKNOWN | (uint32_t)(plat_thread_pointer() >> 6 & (TID_UNKNOWN - 1)) : (uint32_t)tid;
}

void plat_yield(void)
{
	SYS(SYS_sched_yield, 0);
}

bool plat_thread_alive(uint32_t pid, uint32_t tid)
{
	return tid & TID_UNKNOWN || SYS(SYS_tgkill, pid, tid, 0) != -ESRCH;
}

static char *append_text(char *at, const char *end, const char *text)
{
	while (*text && at < end)
		*at++ = *text++;
	*at = 0;
	return at;
}

static char *append_number(char *at, const char *end, uint64_t value)
{
	char digits[24];
	char *digit = digits + sizeof digits - 1;
	*digit = 0;
	do {
		*--digit = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return append_text(at, end, digit);
}

/* The command name may hold blanks and brackets: field 3 begins after the last ')'. */
uint64_t plat_start_time(uint32_t pid)
{
	char path[32], text[1024];
	const char *path_end = path + sizeof path - 1;
	append_text(append_number(append_text(path, path_end, "/proc/"), path_end, pid), path_end, "/stat");
	if (plat_read_file(path, text, sizeof text) <= 0)
		return 0;
	const char *at = strrchr(text, ')');
	if (!at)
		return 0;
	for (int field = 2; field < 22 && *at; at++)
		field += *at == ' ';
	uint64_t value = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t plat_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t plat_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t plat_mono_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

bool plat_secure_exec(void)
{
	return getauxval(AT_SECURE) != 0;
}

bool plat_libc_ready(void)
{
	return environ != NULL;
}

const char *plat_env(const char *name)
{
	size_t length = strlen(name);
	for (char **entry = environ; entry && *entry; entry++)
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return *entry + length + 1;
	return NULL;
}

static uint64_t limit_of(int resource)
{
	struct rlimit64 limit;
	if (is_error(SYS(SYS_prlimit64, 0, resource, 0, &limit)))
		return UINT64_MAX;
	return limit.rlim_cur; /* RLIM64_INFINITY is UINT64_MAX */
}

uint64_t plat_file_size_limit(void)
{
	return limit_of(RLIMIT_FSIZE);
}

uint64_t plat_stack_limit(void)
{
	static _Atomic uint64_t known; /* 0: not asked yet */
	uint64_t limit = atomic_load_explicit(&known, memory_order_relaxed);
	if (!limit) {
		limit = limit_of(RLIMIT_STACK);
		atomic_store_explicit(&known, limit, memory_order_relaxed);
	}
	return limit;
}

static uint64_t parse_number(const char *text)
{
	uint64_t value = 0;
	while (*text == ' ' || *text == '\t')
		text++;
	if (*text < '0' || *text > '9')
		return UINT64_MAX; /* "max" */
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* The field of that number, from 0, in bytes; 0 unknown. */
static uint64_t memory_field(unsigned field)
{
	char text[256];
	if (plat_read_file("/proc/self/statm", text, sizeof text) <= 0)
		return 0;
	const char *at = text;
	while (field-- && at)
		at = (at = strchr(at, ' ')) ? at + 1 : NULL;
	uint64_t pages = at ? parse_number(at) : 0;
	return pages < UINT32_MAX ? pages * getauxval(AT_PAGESZ) : 0; /* 16 TiB at the least: more is no count */
}

uint64_t plat_address_space_left(void)
{
	uint64_t limit = limit_of(RLIMIT_AS);
	if (limit == UINT64_MAX)
		return limit;
	uint64_t used = memory_field(0);
	if (!used)
		return limit / 2;
	return used < limit ? limit - used : 0;
}

uint64_t plat_resident(void)
{
	return memory_field(1);
}

static uint64_t number_in_file(const char *dir, const char *cgroup, const char *name)
{
	char path[512], text[64];
	const char *end = path + sizeof path - 1;
	append_text(append_text(append_text(path, end, dir), end, cgroup), end, name);
	return plat_read_file(path, text, sizeof text) > 0 ? parse_number(text) : UINT64_MAX;
}

/* The process's own cgroup v2 directory below the mount; "" at the root and in a cgroup namespace of its own. */
static void own_cgroup(char *path, size_t bytes)
{
	char text[1024];
	path[0] = 0;
	if (plat_read_file("/proc/self/cgroup", text, sizeof text) <= 0)
		return;
	const char *line = strstr(text, "0::");
	if (!line || (line != text && line[-1] != '\n'))
		return;
	line += 3;
	size_t length = strcspn(line, "\n");
	if (length <= 1 || length >= bytes)
		return;
	memcpy(path, line, length);
	path[length] = 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Each file once: opening these is much of what a start costs. */
static uint64_t cgroup_value(const char *cgroup, const char *v2, const char *v1)
{
	uint64_t own = number_in_file("/sys/fs/cgroup", cgroup, v2);
	uint64_t root = cgroup[0] ? number_in_file("/sys/fs/cgroup", "", v2) : UINT64_MAX;
	return least(least(own, root), number_in_file("/sys/fs/cgroup/memory", "", v1));
}

static uint64_t meminfo(const char *text, const char *field)
{
	const char *at = strstr(text, field);
	uint64_t kib = at ? parse_number(at + strlen(field)) : UINT64_MAX;
	return kib == UINT64_MAX ? UINT64_MAX : kib * 1024;
}

void plat_memory(uint64_t *limit, uint64_t *headroom)
{
	char cgroup[256], text[512];
	own_cgroup(cgroup, sizeof cgroup);
	uint64_t most = cgroup_value(cgroup, "/memory.max", "/memory.limit_in_bytes"), left = UINT64_MAX;
	if (most != UINT64_MAX) {
		uint64_t used = cgroup_value(cgroup, "/memory.current", "/memory.usage_in_bytes");
		left = used == UINT64_MAX ? UINT64_MAX : most > used ? most - used : 0;
	}
	plat_read_file("/proc/meminfo", text, sizeof text);
	*limit = least(most, meminfo(text, "MemTotal:"));
	*headroom = least(left, meminfo(text, "MemAvailable:"));
}

void plat_thread_name(char name[16])
{
	memset(name, 0, 16);
	SYS(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
}

/* What glibc alone has is referred to weakly: the loader of another libc would end the program over a name that it does
   not find, one line for each, before we could stand aside. */
#pragma weak __libc_stack_end
#pragma weak __register_atfork
#pragma weak on_exit
extern void *__libc_stack_end;
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);
extern void *__dso_handle;

bool plat_is_glibc(void)
{
	return &__libc_stack_end && __register_atfork && on_exit;
}

/* What pthread_atfork does, which stands in libc_nonshared.a and refers to this strongly. */
void plat_at_fork(void (*in_parent)(void), void (*in_child)(void))
{
	__register_atfork(NULL, in_parent, in_child, &__dso_handle);
}

void plat_at_exit(void (*note)(int status, void *unused))
{
	on_exit(note, NULL);
}

uintptr_t plat_stack_top_main(void)
{
	/* Arguments and environment lie above; whoever walks never needs them. */
	return ((uintptr_t)__libc_stack_end + 4095) & ~(uintptr_t)4095;
}

/* One that disarms itself (SS_AUTODISARM) is not known while it is in use. */
bool plat_signal_stack(uintptr_t *low, uintptr_t *high)
{
	stack_t now;
	if (SYS(SYS_sigaltstack, 0, &now) || !(now.ss_flags & SS_ONSTACK))
		return false;
	*low = (uintptr_t)now.ss_sp;
	*high = *low + now.ss_size;
	return true;
}

uintptr_t plat_thread_pointer(void)
{
#if defined(__x86_64__) /* gcc 10 has no __builtin_thread_pointer there */
	uintptr_t pointer;
	__asm__("mov %%fs:0, %0" : "=r"(pointer));
	return pointer;
#else
	return (uintptr_t)__builtin_thread_pointer();
#endif
}

uintptr_t plat_loader_base(void)
{
	return getauxval(AT_BASE);
}
