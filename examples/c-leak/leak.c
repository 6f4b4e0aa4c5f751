/*
 * leak: a line counter that forgets. Reads words from a file, keeps the longest, and loses every copy it made.
 *
 * `word_copy` is called from two places: one frees what it gets, the other does not. Only the call path tells them
 * apart, which is why a total per function would not help.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *word_copy(const char *word)
{
	return strdup(word);
}

static size_t count_letters(const char *word)
{
	char *copy = word_copy(word);
	size_t letters = strlen(copy);
	free(copy);
	return letters;
}

static const char *keep_longest(const char *longest, const char *word)
{
	char *copy = word_copy(word); /* lost unless it is the longest; so is the one it replaces */
	return strlen(copy) > strlen(longest) ? copy : longest;
}

int main(int argc, char **argv)
{
	char word[256];
	const char *longest = "";
	size_t words = 0, letters = 0;
	FILE *file = argc > 1 ? fopen(argv[1], "r") : stdin;

	if (!file) {
		fprintf(stderr, "leak: cannot open %s\n", argv[1]);
		return 1;
	}
	while (fscanf(file, "%255s", word) == 1) {
		words++;
		letters += count_letters(word);
		longest = keep_longest(longest, word);
	}
	printf("%zu words, %zu letters, longest: %s\n", words, letters, longest);
	fclose(file);
	return 0;
}
