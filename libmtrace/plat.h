/*
 * plat: the host. The only room of the shim with #ifdef, system calls and libc beyond string.h.
 *
 * Conventions: raw system calls, so that errno is never touched; results are 0 or a count when done,
 * -errno when not. Nothing here allocates. All functions are async-signal-safe unless they say otherwise.
 * A call that the program forbade itself on pain of death is not made, and fails with -EPERM (plat_filter.c).
 * Implemented by plat_linux.c (memory, files, identity), plat_objects.c (loaded objects), plat_symbols.c,
 * plat_slots.c, plat_kin.c, plat_filter.c.
 */
#ifndef MTRACE_PLAT_H
#define MTRACE_PLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* An object that other files of the shim define: reached directly, not through the table of addresses. */
#define SHIM_OWN __attribute__((visibility("hidden")))

/* ---- memory ---- */
void *plat_map_private(size_t bytes);                 /* anonymous, zeroed, read-write; NULL on failure */
void plat_unmap(void *p, size_t bytes);
bool plat_map_zeroes_at(void *p, size_t bytes);       /* private, read-write; false: something is there already */
int plat_wipe_on_fork(void *p, size_t bytes);         /* the child sees zeros */
bool plat_readable(uintptr_t address);                /* is this byte's page readable now? one system call */
int plat_map_segment(int fd, size_t bytes, void **base); /* shared, PROT_NONE, not inherited by fork, not dumped */
int plat_commit(void *p, size_t bytes);               /* read-write and populated, or an error: never SIGBUS later */

/* The same where the kernel cannot populate (before 5.14): the file is opened again by path, and must still be the one
   with this mark; its blocks are allocated, then the range is made read-write. */
struct plat_mark {
	uint64_t offset;  /* 0: none yet */
	uint64_t word[2]; /* what stands there in that file, and in no other */
};
int plat_commit_by_file(const char *path, const struct plat_mark *mark, uint64_t offset, void *p, size_t bytes);

int plat_protect(void *p, size_t bytes, int protection); /* as mprotect(2) */
void plat_give_back(void *p, size_t bytes);           /* frees the file's pages there; they read as zero */

/* The host's own calls, before libc's functions are known. As mmap(2), munmap(2), but for errno. */
void *plat_mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset);
int plat_munmap(void *address, size_t bytes);
void plat_exit(int status) __attribute__((noreturn));

/* ---- files ---- */
int plat_open(const char *path, int flags, int mode); /* flags as open(2); O_CLOEXEC is added */
int plat_close(int fd);
long plat_read(int fd, void *buffer, size_t bytes);
long plat_write(int fd, const void *buffer, size_t bytes);
long plat_read_at(int fd, void *buffer, size_t bytes, uint64_t offset);
long plat_write_at(int fd, const void *buffer, size_t bytes, uint64_t offset);
void plat_file_identity(int fd, uint64_t *device, uint64_t *inode);
int plat_truncate_fd(int fd, uint64_t bytes);
int plat_unlink(const char *path);
long plat_readlink(const char *path, char *buffer, size_t bytes); /* NUL-terminated; length, or -errno */
long plat_read_file(const char *path, char *buffer, size_t bytes); /* whole small file, NUL-terminated */
int plat_lock_exclusive(int fd);                      /* the liveness lock: flock(LOCK_EX | LOCK_NB) */
bool plat_is_locked(int fd);                          /* somebody else holds that lock: its writer lives */
bool plat_is_own_fd(int fd);                          /* a regular file of our user */
uint64_t plat_file_bytes(int fd);                     /* UINT64_MAX: unknown */
int plat_memfd(const char *name);                     /* a file without a name, in memory */
bool plat_is_memory_dir(const char *path);            /* tmpfs or ramfs */
bool plat_writable_dir(const char *path);
uint64_t plat_free_bytes(const char *path);           /* free on that file system */
uint64_t plat_namespace_inode(const char *path);
/* Calls visit(name, context) for each entry of a directory until it returns false. */
int plat_list_dir(const char *path, bool (*visit)(const char *name, void *context), void *context);

/* ---- identity, time, limits ---- */
uint32_t plat_pid(void);
uint32_t plat_parent_pid(void);
uint32_t plat_tid(void);
void plat_yield(void);
bool plat_thread_alive(uint32_t pid, uint32_t tid);
uint64_t plat_start_time(uint32_t pid);               /* field 22 of /proc/PID/stat, 0 unknown */
uint64_t plat_wall_ns(void);
uint64_t plat_mono_ns(void);                          /* vDSO */
uint64_t plat_mono_coarse_ns(void);                   /* vDSO, a few ns, resolution of a few ms */
bool plat_secure_exec(void);                          /* AT_SECURE */
bool plat_libc_ready(void);                            /* libc has its environment: calls before come from ld.so */
void plat_executable(char *path, size_t bytes);        /* of this process; as it was called where there is no /proc */
const char *plat_env(const char *name);               /* from environ itself: shells override getenv */
bool plat_is_glibc(void);                              /* another libc lets us be loaded, and nothing more */
void plat_at_fork(void (*in_parent)(void), void (*in_child)(void)); /* glibc only; allocates; not async-signal-safe */
void plat_at_exit(void (*note)(int status, void *unused));          /* as above */
uint64_t plat_file_size_limit(void);                  /* RLIMIT_FSIZE, UINT64_MAX unlimited */
uint64_t plat_stack_limit(void);                      /* RLIMIT_STACK when first asked: libc too keeps that one */
uint64_t plat_address_space_left(void);               /* under RLIMIT_AS, UINT64_MAX unlimited */
uint64_t plat_resident(void);                         /* bytes; what threads have not added up yet is missing. 0 unknown */
void plat_memory(uint64_t *limit, uint64_t *headroom); /* cgroup v2 or v1, else physical memory; headroom: not in use */
void plat_thread_name(char name[16]);
uintptr_t plat_stack_top_main(void);                  /* __libc_stack_end, rounded up */
uintptr_t plat_thread_pointer(void);
bool plat_signal_stack(uintptr_t *low, uintptr_t *high); /* where we run on one that the kernel knows of */
uintptr_t plat_loader_base(void);                     /* where ld.so is mapped; 0 unknown */

/* ---- kin (plat_kin.c) ---- */
const char *plat_digits(uint64_t value, char room[24]); /* somewhere in room, NUL-terminated */
uint32_t plat_parent_of(uint32_t pid);                 /* 0: none that we can see */
/* What programs executed from now on see: NAME=more, or behind what NAME has, with the separator. Before threads. */
bool plat_extend_env(const char *name, const char *separator, const char *more);

/* ---- system calls that the program forbids itself (plat_filter.c) ---- */
extern _Atomic uint32_t plat_filters SHIM_OWN;          /* 0: none, as far as we saw */
void plat_note_filter(const void *program);             /* struct sock_fprog *, about to be installed */
void plat_note_strict(void);                            /* SECCOMP_MODE_STRICT */
bool plat_may_call(long number, const uint64_t arguments[6]); /* and live, that is */

/* ---- look-ups by name (plat_symbols.c; not async-signal-safe but for plat_symbol_linked) ---- */
void plat_symbols_init(uintptr_t own);                   /* `own`: an address of ours. Before threads */
void *plat_symbol_next(const char *name);                /* behind us in search order; NULL: nowhere */
void plat_symbols_forget_failure(void);                  /* the program's next dlerror does not tell of our look-ups */
/* The same by the tables of the objects behind the one that holds `from`, or NULL: never fails, so allocates nothing. */
void *plat_symbol_next_if_any(const char *name, uintptr_t from); /* before threads only */
void *plat_symbol_before(const char *name);              /* defined by an object in front of us; before threads only */

/* In the object that holds `caller`, which has a frame there, or what that was linked with, in search order. Takes no
   lock and allocates nothing. NULL: nowhere there, or the list of objects changed while it was read. */
void *plat_symbol_linked(const char *name, uintptr_t caller);
const void *plat_variable_of(const char *name, uintptr_t caller); /* the same for a variable, in the caller's object only */

/* Is our library out of everybody's sight: opened by a program that runs (RTLD_LOCAL), not preloaded or linked? Not
   async-signal-safe. */
bool plat_is_late(void);

void plat_pin_loaded(const char *path);                  /* stays loaded for good */
void *plat_load_private(const char *soname);             /* loaded out of everybody's sight; NULL: not there */
void *plat_symbol_in(void *library, const char *name);

/* ---- slots of the GOT (plat_slots.c; takes the loader's lock) ---- */
struct plat_slot {
	const char *name; /* of the function that is called through it */
	uintptr_t held;   /* what it holds */
	uintptr_t in;     /* where its object begins */
	bool unbound;     /* it was never called through: the loader would look the function up */
};
typedef uintptr_t plat_slot_choice(const struct plat_slot *slot, void *context); /* what it shall hold; 0: as it is */

struct plat_slots_seen { /* zero: nothing */
	uint64_t unloads;
	uint32_t objects;
};
struct plat_slots_count {
	uint32_t changed, refused; /* refused: the page could not be made writable */
};

/* The slots of all objects but our own, the loader's and the kernel's; with `seen`, only of those not seen yet. `close` is
   the real dlclose. One caller at a time. */
struct plat_slots_count plat_visit_slots(struct plat_slots_seen *seen, plat_slot_choice *choose, void *context,
					 int (*close)(void *));

/* ---- loaded objects (plat_objects.c) ---- */
struct plat_object {
	uintptr_t start;          /* lowest mapped address */
	uintptr_t end;            /* one past the highest */
	uintptr_t bias;           /* address - bias = ELF address */
	uintptr_t eh_frame_hdr;   /* address of PT_GNU_EH_FRAME, 0 none */
	const char *path;         /* may be "" for the executable; valid while the object is loaded */
	const uint8_t *build_id;  /* in the object's own memory, NULL none */
	uint32_t build_id_bytes;
	uint32_t header_count;    /* ELF program headers, in the object's own memory */
	const void *headers;
};

/* How the page at `address` may be used: PROT_ bits, from /proc/self/maps; negative: nothing is there. */
int plat_protection(uintptr_t address);

void plat_objects_init(void); /* from the constructor: may use dlsym. Not async-signal-safe. */

/* The object that contains pc. Lock-free: _dl_find_object where glibc has it (2.35), else a scan of
   /proc/self/maps. The caller has a frame in that object, so it stays loaded while we look. */
bool plat_find_object(uintptr_t pc, struct plat_object *out);

/* Does some object lie there? Nothing of it is read, so it may be unloaded meanwhile. Where libc cannot tell: true. */
bool plat_is_loaded(uintptr_t address);

/* The absolute path of the file mapped at `address`, from /proc/self/maps: the loader's own name may be relative. */
bool plat_mapped_path(uintptr_t address, char *path, size_t bytes);

/* Does that process map a file whose name begins so? `maps`: its /proc/PID/maps. false, too, when we may not look. */
bool plat_maps_file(const char *maps, const char *name_begin);

/* The part of the object, backed by its file and readable, that address lies in: [*low, *high). */
bool plat_object_span(const struct plat_object *object, uintptr_t address, uintptr_t *low, uintptr_t *high);

/* Objects were unmapped: what the fallback remembers of them is forgotten. Called by unwind_forget. */
void plat_objects_forget(void);

/* For tests: use the fallback although _dl_find_object is there. */
void plat_objects_force_maps(bool force);

#endif
