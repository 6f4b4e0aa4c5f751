/*
 * fake_report: a profile made by hand for what shows profiles: every kind of frame, stacks with inlines, markers and
 * names that must be escaped, counters of every sort, two processes and one that is only seen from outside.
 */
#ifndef MTRACE_FAKE_REPORT_H
#define MTRACE_FAKE_REPORT_H

struct profile;

struct profile *fake_report(void);         /* a server that was killed, and its child */
struct profile *fake_report_outside(void); /* never traced */

#endif
