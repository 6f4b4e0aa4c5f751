/*
 * sarif: see outputs.h. One run, a rule for each row of rules.def, a result for each finding: where, the stack, a fingerprint
 * that survives rebuilds, and what suppresses it. Bounds are GitHub's: 5 000 results and 1 000 frames are looked at.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "emit/emit_text.h"
#include "gate/finding.h"
#include "gate/outputs.h"
#include "gate/plain.h"
#include "gate/suppressions.h"

enum { MOST_RESULTS = 5000, MOST_FRAMES = 1000 };

/* ---- JSON ---- */

static json_t *must(json_t *j)
{
	if (!j)
		die(2, "out of memory");
	return j;
}

static json_t *object(void)
{
	return must(json_object());
}

static json_t *array(void)
{
	return must(json_array());
}

static json_t *text(const char *s)
{
	char *plain = plain_text(s);
	json_t *j = must(json_string(plain));
	free(plain);
	return j;
}

static void set(json_t *o, const char *key, json_t *value)
{
	if (json_object_set_new(o, key, value) != 0)
		die(2, "out of memory");
}

static void append(json_t *a, json_t *value)
{
	if (json_array_append_new(a, value) != 0)
		die(2, "out of memory");
}

/* {"text": …} */
static json_t *message(const char *s)
{
	json_t *o = object();
	set(o, "text", text(s));
	return o;
}

/* An array of one. */
static json_t *only(json_t *value)
{
	json_t *a = array();
	append(a, value);
	return a;
}

/* ---- places ---- */

/* A path as a URI: relative to the root, or file:. */
static json_t *uri(const struct finding_place *place)
{
	static const char plainly[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	char out[3 * sizeof place->path + 8], *o = out;
	if (!place->is_relative)
		o = stpcpy(o, "file://");
	for (const char *c = place->path; *c != '\0'; c++) {
		if (strchr(plainly, *c))
			*o++ = *c;
		else
			o += sprintf(o, "%%%02X", (unsigned char)*c);
	}
	*o = '\0';
	return text(out);
}

static json_t *physical(const struct finding_place *place)
{
	json_t *o = object(), *artifact = object(), *region = object();
	set(artifact, "uri", uri(place));
	if (place->is_relative)
		set(artifact, "uriBaseId", text("SRCROOT"));
	set(o, "artifactLocation", artifact);
	set(region, "startLine", must(json_integer(place->line ? place->line : 1)));
	set(o, "region", region);
	return o;
}

static json_t *logical(const char *function)
{
	json_t *o = object();
	set(o, "fullyQualifiedName", text(function));
	set(o, "kind", text("function"));
	return only(o);
}

static json_t *frame(const struct profile_process *process, const struct profile_frame *f, uint32_t name,
                     const char *root)
{
	struct finding_place place = {.line = name < f->name_count ? f->names[name].line : 0};
	const char *function = emit_function(f, name), *module = emit_module(process, f);
	json_t *o = object(), *location = object();
	if (name < f->name_count && f->names[name].file && f->kind != MTRACE_FRAME_JAVA && place.line &&
	    finding_path(f->names[name].file, root, &place))
		set(location, "physicalLocation", physical(&place));
	set(location, "logicalLocations", logical(function ? function : "(no name)"));
	set(o, "location", location);
	if (module[0] != '\0')
		set(o, "module", text(module));
	return o;
}

static json_t *stack(const struct gate_finding *f, const char *root)
{
	json_t *o = object(), *frames = array();
	for (uint32_t i = 0; i < f->stack->frame_count && json_array_size(frames) < MOST_FRAMES; i++) {
		const struct profile_frame *at = &f->process->frames[f->stack->frames[i]];
		for (uint32_t k = 0; k < emit_names_of(at); k++)
			append(frames, frame(f->process, at, k, root));
	}
	set(o, "message", message("allocated here, innermost frame first"));
	set(o, "frames", frames);
	return o;
}

static json_t *locations(const struct gate_finding *f, const char *root)
{
	struct finding_place place = {.path = ""};
	char subject[256];
	json_t *location = object();
	if (finding_place(f, root, &place))
		set(location, "physicalLocation", physical(&place));
	finding_subject(f, subject, sizeof subject);
	set(location, "logicalLocations", logical(subject));
	return only(location);
}

/* ---- results ---- */

static json_t *suppressed(const struct suppression *s)
{
	json_t *o = object();
	set(o, "kind", text("external"));
	set(o, "status", text("accepted"));
	if (s->reason)
		set(o, "justification", text(s->reason));
	return only(o);
}

static json_t *said(const struct gate_result *r, const struct gate_finding *f)
{
	size_t bytes;
	char *all = finding_text(r, f, "\n\n", &bytes);
	json_t *o = message(all);
	free(all);
	return o;
}

static json_t *result(const struct gate_result *r, const struct gate_finding *f, const char *root)
{
	char fingerprint[17];
	json_t *o = object(), *fingerprints = object();
	finding_fingerprint(f, fingerprint);
	set(fingerprints, "mtraceStack/v1", text(fingerprint));
	set(o, "ruleId", text(gate_rule_word(f->rule)));
	set(o, "ruleIndex", must(json_integer((json_int_t)f->rule)));
	set(o, "level", text(f->fails ? "error" : finding_is_open(f) ? "warning" : "note"));
	set(o, "message", said(r, f));
	set(o, "locations", locations(f, root));
	if (f->stack && f->process && f->stack->frame_count)
		set(o, "stacks", only(stack(f, root)));
	set(o, "partialFingerprints", fingerprints);
	set(o, "suppressions", f->suppression && !f->fails ? suppressed(f->suppression) : array());
	return o;
}

/* ---- the run ---- */

static json_t *rules(void)
{
	json_t *all = array();
	for (unsigned i = 0; i < GATE_RULES; i++) {
		json_t *o = object();
		set(o, "id", text(gate_rule_word((enum gate_rule)i)));
		set(o, "shortDescription", message(gate_rule_title((enum gate_rule)i)));
		set(o, "help", message("mtrace-gate(1) says how it is judged, mtrace-policy(5) how it is allowed."));
		append(all, o);
	}
	return all;
}

static json_t *notification(const char *level, const char *what)
{
	json_t *o = object();
	set(o, "level", text(level));
	set(o, "message", message(what));
	return o;
}

static json_t *invocation(const struct gate_result *r)
{
	json_t *o = object(), *notifications = array();
	char note[512], *command = outputs_command(r);
	set(o, "commandLine", text(command));
	free(command);
	set(o, "executionSuccessful", json_boolean(r->outcome != GATE_INCONCLUSIVE));
	append(notifications, notification(r->outcome == GATE_PASS ? "note" : "error", r->reason));
	for (size_t i = 0; i < r->note_count; i++) {
		const struct suppression *s = r->notes[i].suppression;
		if (!s || r->notes[i].trouble != GATE_UNUSED)
			continue;
		snprintf(note, sizeof note, "%s:%" PRIu32 ": leak:%s covered nothing", s->file, s->line, s->pattern);
		append(notifications, notification("warning", note));
	}
	set(o, "toolExecutionNotifications", notifications);
	return o;
}

static json_t *tool(void)
{
	json_t *o = object(), *driver = object();
	set(driver, "name", text("mtrace"));
	set(driver, "version", text(mtrace_version));
	set(driver, "rules", rules());
	set(o, "driver", driver);
	return o;
}

void outputs_sarif(const struct gate_result *r, const char *root, FILE *out)
{
	json_t *run = object(), *results = array(), *document = object(), *id = object(), *bases = object(),
	       *base = object();
	for (size_t i = 0; i < r->finding_count && i < MOST_RESULTS; i++)
		append(results, result(r, &r->findings[i], root));
	set(base, "description", message("the root of the repository"));
	set(bases, "SRCROOT", base);
	set(id, "id", text("mtrace-gate/"));
	set(run, "tool", tool());
	set(run, "automationDetails", id);
	set(run, "originalUriBaseIds", bases);
	set(run, "invocations", only(invocation(r)));
	set(run, "columnKind", text("unicodeCodePoints"));
	set(run, "results", results);
	set(document, "$schema", text("https://json.schemastore.org/sarif-2.1.0.json"));
	set(document, "version", text("2.1.0"));
	set(document, "runs", only(run));
	json_dumpf(document, out, JSON_INDENT(1));
	fputc('\n', out);
	json_decref(document);
}
