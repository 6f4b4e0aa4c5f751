/* result: the words of result.h's tables. */
#include "gate/result.h"

static const struct {
	const char *word, *title;
} rules[GATE_RULES] = {
#define X(name, word, title) {word, title},
#include "gate/rules.def"
#undef X
};

const char *gate_rule_word(enum gate_rule rule)
{
	return (unsigned)rule < GATE_RULES ? rules[rule].word : "?";
}

const char *gate_rule_title(enum gate_rule rule)
{
	return (unsigned)rule < GATE_RULES ? rules[rule].title : "?";
}

const char *gate_unit_word(enum gate_unit unit, bool plural)
{
	static const char *const words[GATE_UNITS][2] = {{"iteration", "iterations"}, {"tick", "ticks"}, {"load", "loads"},
	                                                 {"unit of work", "units of work"}};
	return (unsigned)unit < GATE_UNITS ? words[unit][plural] : "?";
}
