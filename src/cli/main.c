/* virtwatch: a client of the HTTP API. */

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/rows.h"
#include "cli/top.h"
#include "cli/uses.h"
#include "virtwatch/virtwatch.h"

struct request {
        struct cli cli;
        bool follow, batch, origin, since;
        int sort;             /* enum rows_key; negative: as the daemon has them */
        uint64_t options;     /* given: a bit for each of longs */
        unsigned int filters; /* given: a bit for each enum uses_filter */
        uint64_t lines;       /* 0: not given */
        struct buf query;     /* "kind=vm&" … */
        char *token_text;
        uint64_t days; /* 0: not given */
        struct workload_options workload;
        struct token_options wanted;
        const char *argument; /* what follows the command; NULL: nothing */
        int n_arguments;      /* of all that follows it */
        char **arguments;
};

static int add_query(struct request *request, const char *name, const char *value) {
        _cleanup_(freep) char *escaped = client_escape(value);

        return escaped ? buf_printf(&request->query, "%s=%s&", name, escaped) : -ENOMEM;
}

static int add_filter(struct request *request, const char *text) {
        _cleanup_(freep) char *name = NULL;
        int filter = uses_filter_of(text);

        if (filter < 0) {
                (void) fprintf(stderr,
                                "virtwatch: --filter wants KEY=VALUE with one of " USES_FILTERS_TEXT
                                ", not '%s'\n",
                                text);
                return filter;
        }
        request->filters |= 1U << filter;
        name = strndup(text, strcspn(text, "="));
        return name ? add_query(request, name, strchr(text, '=') + 1) : -ENOMEM;
}

static int read_token(struct request *request, const char *path) {
        int r;

        r = fs_read_text(AT_FDCWD, path, 4096, &request->token_text, NULL);
        if (r < 0) {
                (void) fprintf(stderr, "virtwatch: cannot read %s: %s\n", path,
                                strerrordesc_np(-r));
                return r;
        }
        request->token_text[strcspn(request->token_text, "\r\n")] = '\0';
        request->cli.token = request->token_text;
        return 0;
}

static int set_output(struct request *request, const char *text) {
        request->cli.json = strcmp(text, "json") == 0;
        if (request->cli.json || strcmp(text, "table") == 0)
                return 0;
        (void) fprintf(stderr, "virtwatch: -o is table or json, not '%s'\n", text);
        return -EINVAL;
}

static int set_sort(struct request *request, const char *text) {
        request->sort = rows_key_from_string(text);
        if (request->sort >= 0)
                return 0;
        (void) fprintf(stderr, "virtwatch: --sort is cpu, mem, disk, name or state, not '%s'\n",
                        text);
        return -EINVAL;
}

static int set_lines(struct request *request, const char *text) {
        if (text_to_u64(text, &request->lines) >= 0 && request->lines >= 1)
                return 0;
        (void) fprintf(stderr, "virtwatch: -n is a number from 1 on, not '%s'\n", text);
        return -EINVAL;
}

static int set_since(struct request *request, const char *text) {
        request->since = true;
        return add_query(request, "since", text);
}

static int set_days(struct request *request, const char *text) {
        if (text_to_u64(text, &request->days) >= 0 && request->days >= 1 && request->days <= 366)
                return 0;
        (void) fprintf(stderr, "virtwatch: --days is a number from 1 to 366, not '%s'\n", text);
        return -EINVAL;
}

static int set_count(const char *option, const char *text, uint64_t *ret_count) {
        if (text_to_u64(text, ret_count) >= 0 && *ret_count >= 1 && *ret_count <= INT64_MAX)
                return 0;
        (void) fprintf(stderr, "virtwatch: %s is a number from 1 on, not '%s'\n", option, text);
        return -EINVAL;
}

static int answer(bool wants_help) {
        if (wants_help)
                uses_help();
        else
                (void) printf("virtwatch " VIRTWATCH_VERSION "\n");
        return 0;
}

enum {
        OPT_SINCE = 256,
        OPT_FILTER,
        OPT_SORT,
        OPT_BATCH,
        OPT_DAYS,
        OPT_VCPUS,
        OPT_MEMORY,
        OPT_YES,
        OPT_ORIGIN,
        OPT_JSON,
        OPT_HOST,
        OPT_CA,
        OPT_TOKEN,
        OPT_TOKEN_FILE,
        OPT_SCOPE,
        OPT_EXPIRES,
        OPT_SLUG,
        OPT_WORKLOAD,
        OPT_VERSION
};
static const struct option longs[] = { { "follow", no_argument, NULL, 'f' },
        { "lines", required_argument, NULL, 'n' }, { "since", required_argument, NULL, OPT_SINCE },
        { "filter", required_argument, NULL, OPT_FILTER },
        { "batch", no_argument, NULL, OPT_BATCH }, { "days", required_argument, NULL, OPT_DAYS },
        { "vcpus", required_argument, NULL, OPT_VCPUS },
        { "memory", required_argument, NULL, OPT_MEMORY },
        { "yes-i-mean", required_argument, NULL, OPT_YES },
        { "origin", no_argument, NULL, OPT_ORIGIN }, { "sort", required_argument, NULL, OPT_SORT },
        { "output", required_argument, NULL, 'o' }, { "json", no_argument, NULL, OPT_JSON },
        { "host", required_argument, NULL, OPT_HOST }, { "ca", required_argument, NULL, OPT_CA },
        { "token", required_argument, NULL, OPT_TOKEN },
        { "token-file", required_argument, NULL, OPT_TOKEN_FILE },
        { "scope", required_argument, NULL, OPT_SCOPE },
        { "expires", required_argument, NULL, OPT_EXPIRES },
        { "slug", required_argument, NULL, OPT_SLUG },
        { "workload", required_argument, NULL, OPT_WORKLOAD }, { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPT_VERSION }, {} };

static int set_token_option(struct request *request, int option, const char *text) {
        struct json_object **list =
                        option == OPT_SLUG ? &request->wanted.slugs : &request->wanted.workloads;

        if (option == OPT_SCOPE)
                request->wanted.scopes = text;
        else if (option == OPT_EXPIRES)
                request->wanted.expires = text;
        else if (!*list && !(*list = json_object_new_array()))
                return -ENOMEM;
        else
                return json_object_array_add(*list, json_object_new_string(text));
        return 0;
}

/* How the daemon is reached, and as whom. */
static int set_peer_option(struct request *request, int option, const char *text) {
        if (option == OPT_TOKEN_FILE)
                return read_token(request, text);
        if (option == OPT_HOST)
                request->cli.host = text;
        else if (option == OPT_CA)
                request->cli.ca = text;
        else
                request->cli.token = text;
        return 0;
}

static void note_option(struct request *request, int option) {
        for (size_t i = 0; i + 1 < ARRAY_SIZE(longs); i++)
                if (longs[i].val == option)
                        request->options |= UINT64_C(1) << i;
}

/* Does the command look at all that was given? */
static int check_options(const struct request *request, const char *command) {
        const char *filter = uses_not(command, request->filters);

        for (size_t i = 0; i + 1 < ARRAY_SIZE(longs); i++) {
                if (!(request->options & UINT64_C(1) << i) || uses_option(command, longs[i].name))
                        continue;
                (void) fprintf(stderr, "virtwatch: %s takes no --%s; see --help\n", command,
                                longs[i].name);
                return -EINVAL;
        }
        if (!filter)
                return 0;
        (void) fprintf(stderr, "virtwatch: %s cannot be filtered by %s; see --help\n", command,
                        filter);
        return -EINVAL;
}

/* Return: 1 go on; 0 answered; negative errno. */
static int parse_options(int argc, char **argv, struct request *request) {
        int c, r = 0;

        while (r >= 0 && (c = getopt_long(argc, argv, "fn:o:h", longs, NULL)) >= 0) {
                note_option(request, c);
                if (c == 'f')
                        request->follow = true;
                else if (c == 'n')
                        r = set_lines(request, optarg);
                else if (c == 'o')
                        r = set_output(request, optarg);
                else if (c == OPT_JSON)
                        request->cli.json = true;
                else if (c == OPT_SINCE)
                        r = set_since(request, optarg);
                else if (c == OPT_FILTER)
                        r = add_filter(request, optarg);
                else if (c == OPT_BATCH)
                        request->batch = true;
                else if (c == OPT_ORIGIN)
                        request->origin = true;
                else if (c == OPT_DAYS)
                        r = set_days(request, optarg);
                else if (c == OPT_SORT)
                        r = set_sort(request, optarg);
                else if (c == OPT_VCPUS)
                        r = set_count("--vcpus", optarg, &request->workload.vcpus);
                else if (c == OPT_MEMORY)
                        r = set_count("--memory", optarg, &request->workload.memory_mb);
                else if (c == OPT_YES)
                        request->workload.name = optarg;
                else if (c >= OPT_HOST && c <= OPT_TOKEN_FILE)
                        r = set_peer_option(request, c, optarg);
                else if (c >= OPT_SCOPE && c <= OPT_WORKLOAD)
                        r = set_token_option(request, c, optarg);
                else if (c == 'h' || c == OPT_VERSION)
                        return answer(c == 'h');
                else
                        r = -EINVAL;
        }
        return r < 0 ? r : 1;
}

static int workloads(struct request *request) {
        _cleanup_(json_putp) struct json_object *list = NULL, *sorted = NULL;
        _cleanup_(freep) char *path = NULL;
        long status;
        int r;

        if (asprintf(&path, "/api/v1/workloads?%s",
                            request->query.data ? request->query.data : "") < 0)
                return -ENOMEM;
        r = client_get(&request->cli, path, &list, &status);
        if (r < 0)
                return r;
        if (status != 200)
                return client_refused(list, status, NULL);
        if (request->sort >= 0)
                r = rows_sorted(list, (enum rows_key) request->sort, &sorted);
        if (r < 0)
                return r;
        print_workloads(&request->cli, sorted ? sorted : list);
        if (!request->cli.json && json_length(list) == 0)
                (void) fprintf(stderr, "virtwatch: there is no such workload\n");
        return 0;
}

static int nodes(struct request *request) {
        _cleanup_(json_putp) struct json_object *list = NULL;
        long code;
        int r;

        r = client_get(&request->cli, "/api/v1/nodes", &list, &code);
        if (r < 0)
                return r;
        if (code != 200)
                return client_refused(list, code, NULL);
        print_nodes(&request->cli, list);
        return 0;
}

static int apps(struct request *request) {
        _cleanup_(json_putp) struct json_object *list = NULL;
        long code;
        int r;

        r = client_get(&request->cli, "/api/app-gateway/apps", &list, &code);
        if (r < 0)
                return r;
        if (code != 200)
                return client_refused(list, code, NULL);
        print_apps(&request->cli, list);
        return 0;
}

static int events(struct request *request) {
        return events_command(&request->cli,
                        &(struct events_options){
                                        .query = request->query.data,
                                        .lines = request->lines,
                                        .since = request->since,
                                        .follow = request->follow,
                        });
}

static int timeline(struct request *request) {
        int r;

        r = request->argument ? add_query(request, "slug", request->argument) : 0;
        return r < 0 ? r
                     : timeline_command(&request->cli, request->argument,
                                       &(struct events_options){
                                                       .query = request->query.data,
                                                       .lines = request->lines,
                                                       .since = request->since,
                                                       .follow = request->follow,
                                       });
}

static int probe(struct request *request) {
        return probe_command(&request->cli, request->n_arguments, request->arguments);
}

static int workload(struct request *request) {
        return workload_command(&request->cli, request->n_arguments, request->arguments,
                        &request->workload);
}

static int config(struct request *request) {
        return config_command(
                        &request->cli, request->n_arguments, request->arguments, request->origin);
}

static int token(struct request *request) {
        return token_command(
                        &request->cli, &request->wanted, request->n_arguments, request->arguments);
}

static int analytics(struct request *request) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        _cleanup_(freep) char *path = NULL, *slug = NULL;
        long code;
        int r;

        if (!request->argument) {
                (void) fprintf(stderr, "virtwatch: analytics wants the slug of an app\n");
                return -EINVAL;
        }
        slug = client_escape(request->argument);
        if (!slug ||
                        asprintf(&path, "/api/app-gateway/analytics/%s?days=%ju", slug,
                                        request->days ? (uintmax_t) request->days : 7) < 0)
                return -ENOMEM;
        r = client_get(&request->cli, path, &object, &code);
        if (r < 0)
                return r;
        if (code != 200)
                return client_refused(object, code, NULL);
        print_analytics(&request->cli, object);
        return 0;
}

static int run_top(struct request *request) {
        const struct top_options options = {
                .cli = &request->cli,
                .query = request->query.data ? request->query.data : "",
                .sort = request->sort >= 0 ? (enum rows_key) request->sort : ROWS_BY_CPU,
                .frames = request->lines ? request->lines : 1,
        };

        return request->batch ? top_batch(&options) : top(&options);
}

static int status(struct request *request) {
        static const char *const paths[] = { "/ready", "/health", "/api/v1/version",
                "/api/v1/workloads", "/api/v1/listeners" };
        struct json_object *answers[ARRAY_SIZE(paths)] = {};
        long code = 0;
        int r;

        r = client_get(&request->cli, paths[0], &answers[0], &code);
        if (r >= 0 && code != 503 && !json_get(answers[0], "ready")) /* not served there */
                r = client_refused(answers[0], code, "that is no virtwatchd");
        for (size_t i = 1; r >= 0 && i < ARRAY_SIZE(paths); i++)
                r = client_get(&request->cli, paths[i], &answers[i], &code);
        if (r >= 0) {
                print_status(&request->cli, answers[0], answers[1], answers[2], answers[3],
                                answers[4]);
                r = json_get_bool(answers[0], "ready", false) ? 0 : 1;
        }
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                (void) json_object_put(answers[i]);
        return r;
}

/* The shells ask with it; no help speaks of it. */
static int complete(struct request *request) {
        _cleanup_(freep) char *text = NULL;
        FILE *terminal = stdout;
        size_t size;

        stdout = open_memstream(&text, &size);
        if (stdout) {
                uses_help();
                (void) fclose(stdout);
        }
        stdout = terminal;
        return text ? complete_command(
                                      &request->cli, text, request->n_arguments, request->arguments)
                    : -ENOMEM;
}

/* Return: 0; 1: not ready; negative errno: said. */
static int run_command(struct request *request, const char *command) {
        static const struct {
                const char *name;
                int (*run)(struct request *request);
                int arguments_max; /* INT_MAX: it looks at them itself */
        } commands[] = { { "events", events, 0 }, { "workloads", workloads, 0 },
                { "workload", workload, INT_MAX }, { "nodes", nodes, 0 }, { "apps", apps, 0 },
                { "analytics", analytics, 1 }, { "probe", probe, INT_MAX },
                { "token", token, INT_MAX }, { "config", config, INT_MAX },
                { "timeline", timeline, 1 }, { "top", run_top, 0 }, { "status", status, 0 },
                { "complete", complete, INT_MAX } };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
                if (strcmp(commands[i].name, command) != 0)
                        continue;
                if (request->n_arguments > commands[i].arguments_max) {
                        (void) fprintf(stderr, "virtwatch: %s takes no '%s'; see --help\n", command,
                                        request->arguments[commands[i].arguments_max]);
                        return -EINVAL;
                }
                r = check_options(request, command);
                return r < 0 ? r : commands[i].run(request);
        }
        (void) fprintf(stderr, "virtwatch: there is no command '%s'; see --help\n", command);
        return -EINVAL;
}

/* One that is empty is as one that is not set. Source of that: no-color.org. */
static const char *variable(const char *name) {
        const char *value = getenv(name);

        return value && value[0] ? value : NULL;
}

int main(int argc, char **argv) {
        struct request request = { .sort = -1, .query = BUF_INIT(65536) };
        const char *command;
        int r;

        (void) setlocale(LC_CTYPE, "");
        request.cli.host = variable("VIRTWATCH_HOST");
        if (!request.cli.host)
                request.cli.host = "unix:" VW_HTTP_SOCKET_DEFAULT;
        request.cli.token = variable("VIRTWATCH_TOKEN");
        request.cli.ca = variable("VIRTWATCH_CA");
        request.cli.color = isatty(STDOUT_FILENO) && !variable("NO_COLOR");
        r = parse_options(argc, argv, &request);
        command = optind < argc ? argv[optind] : NULL;
        request.n_arguments = argc - optind - 1;
        request.arguments = argv + optind + 1;
        request.argument = optind + 1 < argc ? argv[optind + 1] : NULL;
        if (r > 0 && command && strcmp(command, "help") == 0)
                r = answer(true);
        if (r > 0 && command) {
                r = run_command(&request, command);
        } else if (r > 0) {
                uses_help();
                (void) fflush(stdout);
                (void) fprintf(stderr, "virtwatch: no command was given\n");
                r = -EINVAL;
        }
        buf_done(&request.query);
        (void) json_object_put(request.wanted.slugs);
        (void) json_object_put(request.wanted.workloads);
        free(request.token_text);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout))) {
                (void) fprintf(stderr, "virtwatch: cannot write all of the answer: %s\n",
                                strerrordesc_np(errno ? errno : EIO));
                r = -EIO;
        }
        return r == 0 ? 0 : r > 0 ? 1 : 2; /* status: 0 ready, 1 not ready, 2 not reached */
}
