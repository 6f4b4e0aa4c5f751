/*
 * commands: the table of commands. main looks names up here; help, man pages and "did you mean" are made from it. What
 * the design names and this version does not have is here, too, and says so.
 */
#include "command.h"

#include <stddef.h>

#define TARGET "TARGET"

const struct command commands[] = {
	{"run", "mtrace run [options] [--] CMD [ARG…]", "trace a program from its start", true, cmd_run,
         cmd_run_options},
	{"attach", "mtrace attach [options] PID", "start tracing a running JVM, or a process that waits for it", true, cmd_attach,
	 cmd_attach_options},
	{"leaks", "mtrace leaks [options] " TARGET "…", "what grows: a leak, a cache, or neither, worst first", true, cmd_report,
         cmd_leaks_options},
	{"ledger", "mtrace ledger " TARGET, "resident memory divided among its owners", true, cmd_absent, NULL},
	{"diff", "mtrace diff [options] A B | PID", "what is new, grew, shrank or is gone, from A to B or since the baseline",
	 true, cmd_diff, cmd_diff_options},
	{"gate", "mtrace gate [options] -- CMD [ARG…]", "fail a CI job when memory grows with the work that is done", true, cmd_gate,
         cmd_gate_options},

	{"report", "mtrace report [options] " TARGET,
	 "how far to trust it, totals, and the stacks that hold the memory", false, cmd_report, cmd_report_options},
	{"follow", "mtrace follow [options] " TARGET, "print what happens as it happens, and a leak report now and then", false,
	 cmd_follow, cmd_follow_options},
	{"export", "mtrace export --to FORMAT [options] " TARGET, "write it as folded stacks, JSON, or its events as CSV", false,
         cmd_export, cmd_export_options},
	{"baseline", "mtrace baseline [options] PID", "keep what a process holds now, for `mtrace diff PID`", false,
         cmd_baseline, cmd_baseline_options},
	{"ps", "mtrace ps [options]", "traced processes: live ones, and what dead ones left", false, cmd_ps,
         cmd_ps_options},
	{"doctor", "mtrace doctor [options] PID|CMD", "will tracing work here, and if not, what cures it", false,
         cmd_doctor, cmd_doctor_options},
	{"symbolize", "mtrace symbolize [options] RECORDING", "add names and lines to a recording", false,
         cmd_symbolize, cmd_symbolize_options},
	{"flame", "mtrace flame " TARGET " -o F.html", "an interactive flame graph in one file", false, cmd_absent,
         NULL},
	{"snap", "mtrace snap [options] " TARGET " -o REC", "save a recording of a process as it is", false, cmd_snap,
         cmd_snap_options},
	{"mark", "mtrace mark [options] " TARGET " NAME", "name this instant, to compare with later: TARGET@NAME", false,
         cmd_mark, cmd_mark_options},
	{"detach", "mtrace detach PID", "stop tracing a running process; what is recorded stays", false, cmd_attach,
	 cmd_detach_options},
	{"supp", "mtrace supp gen [options] " TARGET " | lint [options] FILE…",
	 "write suppressions for a gate, or check files of them", false, cmd_supp, cmd_supp_options},
	{"top", "mtrace top " TARGET, "a live screen of stacks", false, cmd_absent, NULL},
	{"watch", "mtrace watch " TARGET " --listen ADDR", "serve metrics", false, cmd_absent, NULL},
	{"peek", "mtrace peek " TARGET " STACK", "look into the blocks of a stack", false, cmd_absent, NULL},
	{"ab", "mtrace ab …", "compare allocators and settings on one load", false, cmd_absent, NULL},
	{"replay", "mtrace replay REC", "replay a recording against another allocator", false, cmd_absent, NULL},
	{"match", "mtrace match …", "find known leaks", false, cmd_absent, NULL},
	{"trim", "mtrace trim PID", "give the allocator's slack back", false, cmd_absent, NULL},
	{"jvm", "mtrace jvm [options] PID nmt|histogram|heapdump FILE|threads|gc",
	 "what a HotSpot JVM says of itself; no JDK needed", false,
	 cmd_jvm, cmd_jvm_options},
	{"go", "mtrace go PID …", "questions to a Go program", false, cmd_absent, NULL},
	{"version", "mtrace version", "version of the program and of what it reads", false, cmd_version, NULL},
	{"help", "mtrace help [COMMAND]", "this list, or a command's options", false, cmd_help, cmd_help_options},
	{NULL, NULL, NULL, false, NULL, NULL},
};
