/* hotspot: what libjvm.c, a JVM to be walked through, can be asked to do. */
#ifndef BENCH_HOTSPOT_H
#define BENCH_HOTSPOT_H

struct blob;

void hotspot_forget(const char *field); /* before it starts */
void hotspot_start(void);

/* A method `name` that calls the code at `calls`. */
struct blob *hotspot_compile(const char *name, const void *calls);
/* The same, from a barrier that puts registers beside the method's frame meanwhile. */
struct blob *hotspot_spill(const char *name, const void *calls);

/* The stub that a method calls at its entry, while its code is made ready; it calls the code at `calls`. */
const void *hotspot_barrier(const void *calls);
const void *hotspot_entry(const struct blob *b);
void hotspot_replace(struct blob *b, const char *name);
void hotspot_lie(struct blob *b, int words);

/* From now on the outermost method is an interpreted one; and then another in its place. */
void hotspot_interpret(const char *name);
void hotspot_unload(const char *name);

/* The C function at the innermost end: allocates, and frees at once unless told to keep. */
void hotspot_leaf(void);

/* From C by the call stub into a chain of methods. */
void hotspot_call(const struct blob *outermost, int keep);

#endif
