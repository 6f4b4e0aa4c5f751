/*
 * fuzz_command: argv, as every command takes it apart. The first byte picks a command, the rest are its words.
 */
#include "command.h"
#include "fuzz.h"

enum { WORDS = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t count = 0, n = 0;
	while (commands[count].name)
		count++;
	const struct command *self = &commands[fuzz_number(&in, 1) % count];
	char *words[WORDS + 1] = {strdup(self->name)};
	int argc = 1;
	while (in.left && argc < WORDS) {
		n = strnlen((const char *)in.at, in.left);
		char *word = memcpy(malloc(n + 1), fuzz_bytes(&in, n), n);
		word[n] = 0;
		words[argc++] = word;
		fuzz_number(&in, 1);
	}
	struct option_cursor cursor = {.index = 1};
	const char *names[] = {"report", "run", "leaks", "--json", NULL};
	for (int turn = 0; turn <= argc; turn++) {
		int before = cursor.index;
		if (before < argc && !cursor.ended && (!strcmp(words[before], "--help") || !strcmp(words[before], "-h")))
			break; /* prints and ends the program, as it should */
		int option = option_or_operand(argc, words, self, &cursor);
		fuzz_require(cursor.index <= argc, "the cursor stays within argv");
		if (option == -1)
			break;
		fuzz_require(cursor.index > before, "each turn takes a word");
	}
	nearest(words[argc - 1], names);
	while (argc)
		free(words[--argc]);
	return 0;
}
