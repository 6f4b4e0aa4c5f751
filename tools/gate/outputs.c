/* outputs: what they share, see outputs.h. */
#include "gate/outputs.h"

#include "gate/plain.h"
#include "model/redact.h"

char *outputs_command(const struct gate_result *r)
{
	char *command = plain_text(r->command);
	redact_text(command);
	return command;
}
