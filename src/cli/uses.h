#pragma once
/* Which options, and which filters, each command looks at. One that a command ignored would be
 * taken for obeyed: "virtwatch events --filter state=failed" must not show all events. */

#include "base/macro.h"

enum uses_filter {
        USES_KIND,
        USES_NAME,
        USES_ACTION,
        USES_SEVERITY,
        USES_WORKLOAD,
        USES_SLUG,
        USES_STATE,
        USES_SOURCE,
        USES_FILTER_MAX_,
};

#define USES_FILTERS_TEXT "kind, name, action, severity, workload, slug, state, source"

/** The filter that "name=value" has. Return: negative if it has none of these. */
int uses_filter_of(const char *text);
/** Does @command look at --@option? Those about the daemon, the output and help suit all. */
bool uses_option(const char *command, const char *option);
/** The first filter of @given (a bit each) that @command does not look at; NULL: none. */
const char *uses_not(const char *command, unsigned int given);
/** Print what commands and options there are. The shells' completion reads it, too. */
void uses_help(void);
