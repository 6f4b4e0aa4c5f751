/* finding: see finding.h. */
#include "gate/finding.h"

#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "emit/emit_text.h"
#include "gate/suppressions.h"

/* ---- what it is called ---- */

static void name_stack(const struct gate_finding *f, char *out, size_t size)
{
	struct suppression_names names;
	uint32_t site = profile_site(f->process, f->stack);
	if (suppressions_name(f->process, f->stack, &names))
		snprintf(out, size, "%s%s%s", names.function, names.calling ? " < " : "",
		         names.calling ? names.calling : "");
	else if (f->stack->frame_count == 0)
		snprintf(out, size, "(no stack)");
	else
		snprintf(out, size, "(no name) in %s",
		         emit_module(f->process,
		                     &f->process->frames[f->stack->frames[site < f->stack->frame_count ? site : 0]]));
}

void finding_subject(const struct gate_finding *f, char *out, size_t size)
{
	if (f->stack && f->process)
		name_stack(f, out, size);
	else
		snprintf(out, size, "%s", f->label ? f->label : gate_rule_word(f->rule));
}

/* "+38 B", "+0.32 B", "+1.50 MiB" */
static void signed_bytes(char out[40], double bytes)
{
	double size = bytes < 0 ? -bytes : bytes;
	char sign = bytes < 0 ? '-' : '+', text[32];
	if (size < 1024 && size != (double)(uint64_t)size)
		snprintf(text, sizeof text, size < 10 ? "%.2f B" : "%.0f B", size);
	else
		emit_bytes(text, (uint64_t)size);
	snprintf(out, 40, "%c%s", sign, text);
}

static bool has_slope(const struct gate_finding *f)
{
	return f->per_step != 0 || f->low != 0 || f->high != 0;
}

void finding_title(const struct gate_result *r, const struct gate_finding *f, char *out, size_t size)
{
	char subject[256], much[40];
	finding_subject(f, subject, sizeof subject);
	signed_bytes(much, has_slope(f) ? f->per_step : (double)f->change_bytes);
	if (has_slope(f))
		snprintf(out, size, "%s: %s per %s: %s", subject, much, gate_unit_word(r->unit, false),
		         f->reason ? f->reason : "");
	else if (f->change_bytes)
		snprintf(out, size, "%s: %s: %s", subject, much, f->reason ? f->reason : "");
	else
		snprintf(out, size, "%s: %s", subject, f->reason ? f->reason : gate_rule_title(f->rule));
}

void finding_fingerprint(const struct gate_finding *f, char out[17])
{
	uint64_t hash = 0xcbf29ce484222325u;
	const char *parts[] = {gate_rule_word(f->rule), f->identity ? f->identity : f->label ? f->label : "", NULL};
	for (size_t i = 0; parts[i]; i++)
		for (const char *c = parts[i];; c++) {
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
			if (*c == '\0')
				break;
		}
	snprintf(out, 17, "%016" PRIx64, hash);
}

/* ---- where it is ---- */

/* What follows `root` in `file`; NULL: it is elsewhere. A path that is relative already is taken for one below root. */
static const char *below(const char *file, const char *root)
{
	size_t n = root ? strlen(root) : 0;
	while (n > 0 && root[n - 1] == '/')
		n--;
	if (file[0] != '/')
		return file;
	return n && strncmp(file, root, n) == 0 && file[n] == '/' ? file + n + 1 : NULL;
}

/* Does it climb out by a ".."? */
static bool climbs(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")) != NULL; at += 2)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

bool finding_path(const char *file, const char *root, struct finding_place *place)
{
	const char *relative = below(file, root);
	while (relative && strncmp(relative, "./", 2) == 0)
		relative += 2;
	place->is_relative = relative && !climbs(relative);
	size_t n = (size_t)snprintf(place->path, sizeof place->path, "%s", place->is_relative ? relative : file);
	return n > 0 && n < sizeof place->path;
}

/* HotSpot knows the file's name alone: the folder of its package goes before it, where the source root would have it. */
static bool java_path(const struct profile_name *name, struct finding_place *place)
{
	const char *function = name->function ? name->function : "";
	const char *method = strrchr(function, '.'),
		   *class = method ? memrchr(function, '.', (size_t)(method - function)) : NULL;
	size_t n = class ? (size_t)(class - function) : 0;
	if (n + strlen(name->file) + 2 >= sizeof place->path)
		return false;
	for (size_t i = 0; i < n; i++)
		place->path[i] = function[i] == '.' ? '/' : function[i];
	snprintf(place->path + n, sizeof place->path - n, "%s%s", n ? "/" : "", name->file);
	place->is_relative = true;
	return true;
}

static bool place_of_name(const struct profile_frame *frame, const struct profile_name *name, const char *root,
                          struct finding_place *place)
{
	place->line = name->line ? name->line : 1;
	if (!name->file || name->file[0] == '\0')
		return false;
	return frame->kind == MTRACE_FRAME_JAVA ? java_path(name, place) : finding_path(name->file, root, place);
}

/* About no stack: the line that it is about, if it is one. */
static bool place_of_suppression(const struct gate_finding *f, const char *root, struct finding_place *place)
{
	if (!f->suppression || suppressions_is_built_in(f->suppression))
		return false;
	place->line = f->suppression->line;
	return finding_path(f->suppression->file, root, place);
}

bool finding_place(const struct gate_finding *f, const char *root, struct finding_place *place)
{
	bool any = false;
	if (!f->stack || !f->process)
		return place_of_suppression(f, root, place);
	uint32_t at = profile_site(f->process, f->stack);
	for (uint32_t k = UINT32_MAX; at < f->stack->frame_count; at++, k = 0) {
		const struct profile_frame *frame = &f->process->frames[f->stack->frames[at]];
		k = k == UINT32_MAX ? profile_own_name(f->process, frame) : 0;
		for (; k < frame->name_count; k++) {
			struct finding_place found;
			if (!place_of_name(frame, &frame->names[k], root, &found) || (any && !found.is_relative))
				continue;
			*place = found;
			any = true;
			if (found.is_relative)
				return true;
		}
	}
	return any;
}

/* ---- what is said of it ---- */

static void write_amounts(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	char much[40], low[40], high[40], bytes[32], blocks[32];
	if (has_slope(f)) {
		signed_bytes(much, f->per_step);
		signed_bytes(low, f->low);
		signed_bytes(high, f->high);
		fprintf(out, "grows   %s per %s (99 %%: %s to %s), over %" PRIu64 " %s in %" PRIu64 " windows\n", much,
		        gate_unit_word(r->unit, false), low, high, r->work_steps, gate_unit_word(r->unit, true),
		        r->windows);
	}
	if (f->live_blocks || f->live_bytes || f->change_bytes) {
		emit_bytes(bytes, f->live_bytes);
		emit_count(blocks, f->live_blocks);
		signed_bytes(much, (double)f->change_bytes);
		fprintf(out, "holds   %s in %s block%s at the end, %s\n", bytes, blocks, f->live_blocks == 1 ? "" : "s",
		        much);
	}
}

static void write_stack(const struct gate_finding *f, FILE *out)
{
	static const struct emit_options plain = {.columns = 100};
	const struct page page = {.out = out, .options = &plain, .process = f->process, .columns = 100};
	text_frames(&page, f->stack);
}

void finding_write(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	write_amounts(r, f, out);
	if (f->reason)
		fprintf(out, "why     %s\n", f->reason);
	fprintf(out, "rule    %s: %s\n", gate_rule_word(f->rule), f->budget ? f->budget : gate_rule_title(f->rule));
	if (f->suppression)
		fprintf(out, "%s %s:%" PRIu32 ": leak:%s%s%s\n", f->fails ? "see    " : "covered", f->suppression->file,
		        f->suppression->line, f->suppression->pattern, f->suppression->reason ? ": " : "",
		        f->suppression->reason ? f->suppression->reason : "");
	if (f->stack && f->process)
		write_stack(f, out);
}

void finding_write_advice(const struct gate_finding *f, FILE *out)
{
	struct suppression_names names;
	const struct profile_counts counts = {.live_bytes = f->live_bytes, .live_blocks = f->live_blocks};
	if (!f->fails || !f->stack || !f->process)
		return;
	fputs("If this is a cache: let it fill before the work begins (--phase warmup:N), or give it its due in the "
	      "policy:\n",
	      out);
	if (suppressions_name(f->process, f->stack, &names)) {
		fputs("  max stack ", out);
		for (const char *c = names.pattern; *c != '\0'; c++)
			fputc(*c == ' ' || *c == '\t' ? '*' : *c, out); /* a policy's words have no blanks */
		fputs(" growth SIZE\n", out);
		fputs("If it is no leak for another reason, say so in a file for --suppressions:\n", out);
		suppressions_write(out, &names, &counts, 0);
	} else {
		fputs("  max stack PATTERN growth SIZE\nNo frame has a name to suppress it by: install debug "
		      "information, or add --search DIR.\n",
		      out);
	}
}

char *finding_text(const struct gate_result *r, const struct gate_finding *f, const char *after_title, size_t *bytes)
{
	char title[1024], *text = NULL;
	FILE *out = open_memstream(&text, bytes);
	if (!out)
		die(2, "out of memory");
	if (after_title) {
		finding_title(r, f, title, sizeof title);
		fprintf(out, "%s%s", title, after_title);
	}
	finding_write(r, f, out);
	finding_write_advice(f, out);
	fclose(out);
	return text;
}
