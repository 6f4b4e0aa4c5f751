/*
 * host: reloads its plugin for every job, as a server with hot-reloaded filters does. Forty jobs, forty tables lost.
 */
#include <dlfcn.h>
#include <stdio.h>

static int run_job(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW);
	int (*match)(const char *);
	int matched;

	if (!plugin) {
		fprintf(stderr, "host: %s\n", dlerror());
		return -1;
	}
	*(void **)&match = dlsym(plugin, "plugin_match");
	matched = match ? match("needle") : 0;
	dlclose(plugin);
	return matched;
}

int main(int argc, char **argv)
{
	int jobs = 0;
	if (argc != 2) {
		fprintf(stderr, "usage: host PLUGIN.so\n");
		return 2;
	}
	for (int i = 0; i < 40; i++)
		if (run_job(argv[1]) > 0)
			jobs++;
	printf("%d jobs done\n", jobs);
	return jobs == 40 ? 0 : 1;
}
