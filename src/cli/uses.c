/* One table of commands, and the help. A command that is not in it is not checked. */

#include "cli/uses.h"

#include <string.h>

#include "virtwatch/virtwatch.h"

#define BOTH_FILTERS (1U << USES_KIND | 1U << USES_NAME)
#define ONLY_EVENT_FILTERS \
        (1U << USES_ACTION | 1U << USES_SEVERITY | 1U << USES_WORKLOAD | 1U << USES_SLUG)
#define ONLY_WORKLOAD_FILTERS (1U << USES_STATE | 1U << USES_SOURCE)
#define EVENT_FILTERS         (BOTH_FILTERS | ONLY_EVENT_FILTERS)
#define WORKLOAD_FILTERS      (BOTH_FILTERS | ONLY_WORKLOAD_FILTERS)

static const char *const filters[] = {
        [USES_KIND] = "kind",
        [USES_NAME] = "name",
        [USES_ACTION] = "action",
        [USES_SEVERITY] = "severity",
        [USES_WORKLOAD] = "workload",
        [USES_SLUG] = "slug",
        [USES_STATE] = "state",
        [USES_SOURCE] = "source",
};

static const struct use {
        const char *command;
        const char *options; /* with blanks round each */
        unsigned int filters;
} uses[] = {
        { "events", " follow lines since filter ", EVENT_FILTERS },
        { "workloads", " sort filter ", WORKLOAD_FILTERS },
        { "workload", " vcpus memory yes-i-mean ", 0 },
        { "nodes", " ", 0 },
        { "apps", " ", 0 },
        { "timeline", " follow lines since filter ", EVENT_FILTERS & ~(1U << USES_SLUG) },
        { "probe", " ", 0 },
        { "analytics", " days ", 0 },
        { "token", " scope expires slug workload ", 0 },
        { "top", " sort filter batch lines ",
                        BOTH_FILTERS | ONLY_EVENT_FILTERS | ONLY_WORKLOAD_FILTERS },
        { "config", " origin ", 0 },
        { "status", " ", 0 },
};
static const char common[] = " output json host ca token token-file help version ";

static const struct use *use_of(const char *command) {
        for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
                if (strcmp(uses[i].command, command) == 0)
                        return &uses[i];
        return NULL;
}

int uses_filter_of(const char *text) {
        const size_t n = strcspn(text, "=");

        for (int i = 0; text[n] && i < USES_FILTER_MAX_; i++)
                if (strlen(filters[i]) == n && strncmp(filters[i], text, n) == 0)
                        return i;
        return -EINVAL;
}

bool uses_option(const char *command, const char *option) {
        const struct use *use = use_of(command);
        char word[64];

        (void) snprintf(word, sizeof(word), " %s ", option);
        return !use || strstr(use->options, word) || strstr(common, word);
}

const char *uses_not(const char *command, unsigned int given) {
        const struct use *use = use_of(command);

        given &= use ? ~use->filters : 0;
        return given ? filters[__builtin_ctz(given)] : NULL;
}

void uses_help(void) {
        (void) printf("virtwatch COMMAND [OPTION]...\n\n"
                      "  events [-f] [-n N] [--since TIME] [--filter KEY=VALUE]...   what happened\n"
                      "  workloads [--sort COLUMN] [--filter KEY=VALUE]...           every VM, container and unit\n"
                      "  workload stop NAME | destroy NAME                           end it: asked to, or at once\n"
                      "  workload scale NAME [--vcpus N] [--memory MIB]              give it other vCPUs or memory\n"
                      "  nodes                                                       the hosts, and what they use\n"
                      "  apps                                                        slugs, and what is bound to them\n"
                      "  timeline SLUG [-f] [-n N] [--since TIME] [--filter KEY=VALUE]...   what happened to an app\n"
                      "  probe [show [SLUG]] | run SLUG | rm SLUG                    whether apps answer; ask one now; forget it\n"
                      "  probe set SLUG KEY=VALUE...                                 url, path, interval_s, expected_status, timeout_s, enabled, ...\n"
                      "  analytics SLUG [--days N]                                   its requests, day by day\n"
                      "  token [list] | revoke ID|NAME                               who may ask over HTTP; end one\n"
                      "  token create NAME --scope S,S [--expires 30d] [--slug S]... [--workload W]...   make one; it is shown once\n"
                      "  top [--sort COLUMN] [--filter KEY=VALUE]... [--batch -n N]  all of it, while you look; ? shows its keys\n"
                      "  config show [--origin]                                      the daemon's configuration, and where each value is from\n"
                      "  status                                                      the daemon and its sources\n\n"
                      "  -f, --follow            go on with new events\n"
                      "  -n, --lines=N           how many events to begin with (default 20, or all with --since; at most 1000)\n"
                      "      --since=TIME        RFC 3339, or a span such as 10m or 2h\n"
                      "      --filter=KEY=VALUE  of events kind, name, action, severity, workload, slug; of workloads kind, name, state, source\n"
                      "      --batch             print N frames, two seconds apart (default 1), and end\n"
                      "      --days=N            of analytics, up to today (default 7, at most 366)\n"
                      "      --yes-i-mean=NAME   of workload: its name, which is asked for otherwise\n"
                      "      --origin            with config show: file, line and column, variable, credential or option\n"
                      "      --sort=COLUMN       cpu, mem, disk (the largest first), name or state (failed first)\n"
                      "  -o, --output=FORMAT     table (default) or json, a line each\n"
                      "      --json              the same as -o json\n"
                      "      --host=ADDRESS      unix:PATH or https://ADDRESS:PORT (default unix:" VW_HTTP_SOCKET_DEFAULT
                      ", or VIRTWATCH_HOST)\n"
                      "      --ca=FILE           certificates to trust, in place of the system's; or VIRTWATCH_CA\n"
                      "      --token=TOKEN       or VIRTWATCH_TOKEN\n"
                      "      --token-file=PATH   the file that the token is in\n"
                      "  -h, --help              this text\n"
                      "      --version           the version\n");
}
