/*
 * elf_facts: what a program file says about itself before it runs, as far as tracing it is concerned.
 *
 * `mtrace run` reads them before it starts a command, `mtrace doctor` to advise. A script is followed to its
 * interpreter. The file is hostile input to libelf like any other: what cannot be read is a fact not known.
 */
#ifndef MTRACE_ELF_FACTS_H
#define MTRACE_ELF_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_facts {
	char path[4096];      /* the file the kernel will run: the interpreter of a script, else the file itself */
	char script[4096];    /* the script that led there, "" none */
	bool is_elf;
	unsigned word_bits;   /* 32, 64 */
	unsigned machine;     /* e_machine */
	bool is_static;       /* asks for no loader: nothing can be preloaded */
	char loader[256];     /* PT_INTERP */
	bool musl;            /* that loader is musl's */
	bool secure;          /* set-user-id, set-group-id or file capabilities would take effect: preload is dropped */
	const char *secure_by; /* which of these, NULL none */
	const char *allocator; /* defines malloc itself: whose it is ("jemalloc", "its own"); NULL it does not */
	const char *linked_allocator; /* names one as a needed library */
	const char *sanitizer; /* "AddressSanitizer", …; NULL none */
	bool sanitizer_first; /* its run-time is a shared library that refuses to start when another is preloaded */
	bool go;
	bool jvm_launcher;    /* needs libjli.so, as java, javac and the JDK's other programs do */
	bool has_symbols;     /* .symtab, .gnu_debugdata */
	bool has_debug_info;  /* .debug_info in it, or in its debug file where packages put that */
	bool has_build_id;
	char build_id[65];    /* hex digits, "" none */
	bool has_unwind_rules; /* .eh_frame */
};

/* Fills `facts` for the program at `path`. `thorough` looks through the whole symbol table as well as the dynamic
   one (tens of milliseconds for a large program). Returns 0, or -errno when the file cannot be read at all. */
int elf_facts_read(const char *path, bool thorough, struct elf_facts *facts);

/* Why nothing can be recorded in that program, with the cure, as one clause without a full stop; NULL when it can
   be. The first reason only. */
const char *elf_facts_refusal(const struct elf_facts *facts);

/* The same refusals: true when not even LD_PRELOAD may be set, because the program would print or fail. */
bool elf_facts_preload_hurts(const struct elf_facts *facts);

#endif
