/* direct: whose memory a stack's blocks are, by the methods on the way. */
#include <check.h>

#include "model/direct.h"
#include "run.h"

enum { MOST = 8 };

/* A stack of these methods, innermost first, below a native function. */
static const char *owner_of(enum mtrace_kind kind, uint16_t frame_kind, const char *const *methods)
{
	static struct profile_name names[MOST];
	static struct profile_frame frames[MOST];
	static uint32_t path[MOST];
	struct profile_process process = {.frames = frames};
	struct profile_stack stack = {.kind = kind, .frames = path};
	frames[0] = (struct profile_frame){.kind = MTRACE_FRAME_NATIVE};
	for (uint32_t i = 1; *methods; i++, methods++) {
		names[i] = (struct profile_name){.function = *methods};
		frames[i] = (struct profile_frame){.kind = frame_kind, .names = &names[i], .name_count = 1};
		path[i] = i;
		stack.frame_count = i + 1;
	}
	const struct direct_owner *owner = direct_owner_of(&process, &stack);
	return owner ? owner->id : "none";
}

#define OWNER(...) owner_of(MTRACE_KIND_MALLOC, MTRACE_FRAME_JAVA, (const char *const[]){__VA_ARGS__, NULL})
#define UNSAFE "jdk.internal.misc.Unsafe.allocateMemory0", "jdk.internal.misc.Unsafe.allocateMemory"

START_TEST(the_jvms_and_the_programs_own)
{
	ck_assert_str_eq(OWNER(UNSAFE, "java.nio.DirectByteBuffer.<init>", "java.nio.ByteBuffer.allocateDirect", "A.b"), "jvm-direct");
	ck_assert_str_eq(OWNER(UNSAFE, "A.b"), "unsafe");
	ck_assert_str_eq(OWNER("java.util.zip.Deflater.init", "A.b"), "none");
}
END_TEST

/* However the chunk was made, and under whatever package the library was put. */
START_TEST(nettys_pool_and_its_own)
{
	ck_assert_str_eq(OWNER(UNSAFE, "java.nio.DirectByteBuffer.<init>", "io.netty.buffer.PoolArena$DirectArena.newChunk"), "netty-pool");
	ck_assert_str_eq(OWNER(UNSAFE, "io.netty.util.internal.PlatformDependent0.allocateDirectNoCleaner",
			       "org.shaded.io.netty.buffer.PoolArena$DirectArena.newChunk"), "netty-pool");
	ck_assert_str_eq(OWNER(UNSAFE, "io.netty.util.internal.PlatformDependent0.allocateDirectNoCleaner",
			       "io.netty.buffer.UnpooledUnsafeNoCleanerDirectByteBuf.allocateDirect"), "netty-direct");
}
END_TEST

START_TEST(other_kinds_and_languages_say_themselves)
{
	static const char *const methods[] = {"java.nio.DirectByteBuffer.<init>", NULL};
	ck_assert_str_eq(owner_of(MTRACE_KIND_JNI_BUFFER, MTRACE_FRAME_JAVA, methods), "none");
	ck_assert_str_eq(owner_of(MTRACE_KIND_MALLOC, MTRACE_FRAME_NATIVE, methods), "none");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tools: direct memory");
	TCase *plain = tcase_create("plain");
	tcase_add_test(plain, the_jvms_and_the_programs_own);
	tcase_add_test(plain, nettys_pool_and_its_own);
	tcase_add_test(plain, other_kinds_and_languages_say_themselves);
	suite_add_tcase(suite, plain);
	return run_suite(suite);
}
