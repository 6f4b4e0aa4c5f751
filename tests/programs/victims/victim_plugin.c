/*
 * victim_plugin: loads a plugin, lets it leak, unloads it, loads another one at the same address, while threads
 * allocate: `victim_plugin TRUTH_FILE ENDING PLUGIN_A PLUGIN_B`.
 *
 * The stacks of a plugin that is gone must keep its names, and never get those of the one that came after it.
 */
#include "truth.h"

#include <dlfcn.h>
#include <pthread.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

enum { ROUNDS = 50 };
static uint32_t path_a, path_b, path_churn;
static int is_stopping;

/* Calls the plugin's function and keeps nothing of what it got: the leak. */
static void leak_from(const char *file, uint32_t path, uint64_t bytes)
{
	void *plugin = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(99);
	}
	void *(*leak)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_leak");
	for (int i = 0; i < 20; i++) {
		truth_begin(path, bytes);
		truth_got(path, leak(bytes), bytes);
	}
	dlclose(plugin);
}

TRUTH_FUNCTION void truth_churn(uint64_t bytes)
{
	truth_begin(path_churn, bytes);
	truth_free(truth_got(path_churn, malloc(bytes), bytes));
}

static void *churn(void *argument)
{
	truth_join_thread(1 + (uint32_t)(uintptr_t)argument);
	for (uint64_t i = 0; !__atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE); i++)
		truth_churn(1 + i % 300);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		truth_die("usage: victim_plugin TRUTH_FILE ENDING PLUGIN_A PLUGIN_B");
	truth = open_truth_file(argv[1], "malloc");
	truth_join_thread(0);
	path_a = truth_name_path("truth_leak_a");
	path_b = truth_name_path("truth_leak_b");
	path_churn = truth_name_path("truth_churn");
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)i))
			truth_die("pthread_create");
	for (int i = 0; i < ROUNDS; i++) {
		leak_from(argv[3], path_a, 100);
		leak_from(argv[4], path_b, 200);
	}
	__atomic_store_n(&is_stopping, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	truth->complete = 1;
	truth_end_process(argv[2]);
	return 6;
}
