/* virtwatch probe: what is asked of apps, and what came of it. */

#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

#define PROBES "/api/app-gateway/probes"

/* ---- printing ---- */

static void print_rest(const char *text) {
        _cleanup_(freep) char *shown = text_escape_terminal(text ? text : "");

        (void) printf("%s\n", shown ? shown : "");
}

/* One that never ran has no status; one that is not enabled has an old one. */
static const char *status_of(struct json_object *probe) {
        const char *status = json_get_string(probe, "status");

        return !json_get_bool(probe, "config/enabled", true) ? "off" : status ? status : "unknown";
}

static const char *color_of(const struct cli *cli, const char *status) {
        return cli->color && strcmp(status, "down") == 0 ? "\033[31m" : "";
}

static void print_probe(const struct cli *cli, struct json_object *probe, const char *slug) {
        struct json_object *config = json_get(probe, "config");
        const char *url = json_get_string(config, "url"), *path = json_get_string(config, "path"),
                   *error = json_get_string(probe, "last_error"),
                   *address = json_get_string(probe, "last_address");
        const char *status = status_of(probe), *color = color_of(cli, status);
        _cleanup_(freep) char *target = NULL;
        char text[64], when[PRINT_WHEN_MAX];

        print_cell(slug, 24);
        (void) printf("%s", color);
        print_cell(status, 8);
        (void) printf("%s", color[0] ? "\033[0m" : "");
        (void) snprintf(text, sizeof(text), "%jd",
                        (intmax_t) json_get_int(probe, "last_http_status", 0));
        print_cell(json_get(probe, "last_http_status") ? text : NULL, 4);
        (void) snprintf(text, sizeof(text), "%.1f",
                        json_object_get_double(json_get(probe, "last_duration_ms")));
        (void) printf("%8s  ", json_get(probe, "last_duration_ms") ? text : "-");
        print_cell(print_when(json_get_string(probe, "last_run_at"), "never", when),
                        PRINT_WHEN_MAX - 1);
        if (asprintf(&target, "%s%s%s%s",
                            url                       ? url
                                            : address ? address
                                                      : "",
                            path ? path : "", error ? ": " : "", error ? error : "") < 0)
                target = NULL;
        print_rest(target);
}

static void print_head(void) {
        (void) printf("%-24s  %-8s  %-4s  %8s  %-19s  %s\n", "SLUG", "STATUS", "HTTP", "MS",
                        "LAST RUN", "TARGET");
}

static void print_probes(const struct cli *cli, struct json_object *probes, const char *slug) {
        size_t n = json_length(probes);

        if (cli->json) {
                print_json(probes);
                return;
        }
        print_head();
        if (slug)
                print_probe(cli, probes, slug);
        else if (n == 0)
                (void) fprintf(stderr, "virtwatch: there is no probe yet\n");
        for (size_t i = 0; i < n; i++) {
                struct json_object *probe = json_object_array_get_idx(probes, i);

                print_probe(cli, probe, json_get_string(probe, "slug"));
        }
}

/* ---- asking ---- */

static int ask(const struct cli *cli, const char *method, const char *slug, const char *rest,
                const char *body, struct json_object **ret_object) {
        _cleanup_(freep) char *escaped = client_escape(slug), *path = NULL;
        _cleanup_(json_putp) struct json_object *object = NULL;
        long status = 0;
        int r;

        if (!escaped || asprintf(&path, PROBES "%s%s%s", escaped[0] ? "/" : "", escaped, rest) < 0)
                return -ENOMEM;
        r = client_send(cli, method, path, body, &object, &status);
        if (r < 0)
                return r;
        if (status == 404 && !method && ret_object && escaped[0]) {
                *ret_object = NULL;
                return -ENOENT;
        }
        if (status / 100 != 2)
                return client_refused(object, status, NULL);
        if (ret_object)
                *ret_object = TAKE_PTR(object);
        return 0;
}

static int no_such_probe(const char *slug) {
        (void) fprintf(stderr, "virtwatch: there is no probe of %s\n", slug);
        return -EINVAL;
}

static int show(const struct cli *cli, const char *slug) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        int r;

        r = ask(cli, NULL, slug ? slug : "", "", NULL, &object);
        if (r == -ENOENT)
                return no_such_probe(slug);
        if (r >= 0)
                print_probes(cli, object, slug);
        return r;
}

static int run(const struct cli *cli, const char *slug) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        const char *status;
        int r;

        r = ask(cli, "POST", slug, "/run", "", &object);
        if (r < 0)
                return r;
        print_probes(cli, object, slug);
        status = json_get_string(object, "last_status");
        return status && strcmp(status, "up") == 0 ? 0 : 1;
}

/* ---- setting ---- */

static struct json_object *value_of(const char *text) {
        struct json_object *value = NULL;

        if (json_parse(text, strlen(text), &value) >= 0 &&
                        (json_object_is_type(value, json_type_int) ||
                                        json_object_is_type(value, json_type_double) ||
                                        json_object_is_type(value, json_type_boolean)))
                return value;
        (void) json_object_put(value);
        return json_object_new_string(text);
}

int probe_overlay(struct json_object *config, int argc, char **argv, struct json_object **ret_body,
                const char **ret_bad) {
        _cleanup_(json_putp) struct json_object *body = NULL;
        bool has_url = false, has_path = false, has_target = false;
        int r = 0;

        for (int i = 0; i < argc; i++) {
                if (argv[i][0] == '=' || !strchr(argv[i], '=')) {
                        *ret_bad = argv[i];
                        return -EINVAL;
                }
                has_url |= text_starts_with(argv[i], "url=");
                has_path |= text_starts_with(argv[i], "path=");
                has_target |= text_starts_with(argv[i], "target=") ||
                                text_starts_with(argv[i], "port=");
        }
        if (config)
                r = json_object_deep_copy(config, &body, NULL) < 0 ? -ENOMEM : 0;
        else
                body = json_object_new_object();
        if (r < 0 || !body)
                return -ENOMEM;
        if (has_url && !has_path) /* the url may have a path of its own */
                json_object_object_del(body, "path");
        if (has_url && !has_target) { /* each says whom to ask: the new one counts */
                json_object_object_del(body, "target");
                json_object_object_del(body, "port");
        }
        if (has_target && !has_url)
                json_object_object_del(body, "url");
        for (int i = 0; r >= 0 && i < argc; i++) {
                const char *equals = strchr(argv[i], '=');
                _cleanup_(freep) char *name = strndup(argv[i], (size_t) (equals - argv[i]));
                struct json_object *value = value_of(equals + 1);

                if (!name || !value) {
                        (void) json_object_put(value);
                        return -ENOMEM;
                }
                r = json_add(body, name, value);
        }
        if (r < 0)
                return r;
        *ret_body = TAKE_PTR(body);
        return 0;
}

static int set(const struct cli *cli, const char *slug, int argc, char **argv) {
        _cleanup_(json_putp) struct json_object *before = NULL, *body = NULL, *after = NULL;
        const char *bad = NULL;
        int r;

        r = ask(cli, NULL, slug, "", NULL, &before);
        if (r < 0 && r != -ENOENT)
                return r;
        r = probe_overlay(json_get(before, "config"), argc, argv, &body, &bad);
        if (r == -EINVAL)
                (void) fprintf(stderr, "virtwatch: probe set wants KEY=VALUE, not '%s'\n", bad);
        if (r < 0)
                return r;
        r = ask(cli, "PUT", slug, "", json_text(body), &after);
        if (r >= 0)
                print_probes(cli, after, slug);
        return r;
}

int probe_command(const struct cli *cli, int argc, char **argv) {
        const char *verb = argc > 0 ? argv[0] : "show", *slug = argc > 1 ? argv[1] : NULL;

        if (strcmp(verb, "show") == 0 && argc <= 2)
                return show(cli, slug);
        if (strcmp(verb, "set") == 0 && argc > 2)
                return set(cli, slug, argc - 2, argv + 2);
        if (strcmp(verb, "run") == 0 && argc == 2)
                return run(cli, slug);
        if (strcmp(verb, "rm") == 0 && argc == 2)
                return ask(cli, "DELETE", slug, "", NULL, NULL);
        (void) fprintf(stderr,
                        "virtwatch: probe show [SLUG], probe set SLUG KEY=VALUE..., probe run SLUG, probe rm SLUG\n");
        return -EINVAL;
}
