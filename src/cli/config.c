/* virtwatch config show: what the daemon's configuration is, and where each value came from. */

#include <string.h>

#include "base/text.h"
#include "cli/cells.h"
#include "cli/cli.h"

#define KEY_WIDTH   32
#define VALUE_WIDTH 40

/* "a, b", "true", "exit-137"; "-" for what is not set. Caller frees. */
static char *value_text(struct json_object *value) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(1U << 20);
        _cleanup_(freep) char *copy = NULL;
        const bool is_list = json_object_is_type(value, json_type_array);
        const size_t n = json_length(value);
        const char *item;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                item = json_object_get_string(json_object_array_get_idx(value, i));
                r = buf_printf(&text, "%s%s", i > 0 ? ", " : "", item ? item : "");
        }
        if (r >= 0 && !is_list && value)
                r = buf_append_str(&text, json_object_get_string(value));
        if (r < 0)
                return NULL;
        copy = text.size > 0 ? buf_take(&text) : strdup("-");
        return copy ? text_escape_terminal(copy) : NULL;
}

/* "default", "file /etc/virtwatch/virtwatch.yaml:3:14", "environment VIRTWATCH_…". Caller frees. */
static char *origin_text(struct json_object *key) {
        const char *from = json_get_string(key, "origin/from"),
                   *name = json_get_string(key, "origin/name");
        const int64_t line = json_get_int(key, "origin/line", 0),
                      column = json_get_int(key, "origin/column", 0);
        _cleanup_(freep) char *text = NULL;
        int n;

        if (line > 0) {
                n = asprintf(&text, "%s %s:%jd:%jd", from ? from : "?", name ? name : "?",
                                (intmax_t) line, (intmax_t) column);
        } else {
                n = asprintf(&text, "%s%s%s", from ? from : "?", name ? " " : "", name ? name : "");
        }
        if (n < 0) {
                text = NULL;
                return NULL;
        }
        return text_escape_terminal(text);
}

/* @config: as GET /api/v1/config answers. */
static void print_config(const struct cli *cli, struct json_object *config, bool origin) {
        struct json_object *keys = json_get(config, "keys");
        size_t n = json_length(keys);

        if (cli->json) {
                print_json(config);
                return;
        }
        if (origin)
                (void) printf("%-*s  %-*s  FROM\n", KEY_WIDTH, "KEY", VALUE_WIDTH, "VALUE");
        else
                (void) printf("%-*s  VALUE\n", KEY_WIDTH, "KEY");
        for (size_t i = 0; i < n; i++) {
                struct json_object *key = json_object_array_get_idx(keys, i);
                const char *name = json_get_string(key, "key");
                _cleanup_(freep) char *name_cell = cells_pad(name ? name : "?", KEY_WIDTH),
                                      *value = value_text(json_get(key, "value")),
                                      *from = origin_text(key);
                _cleanup_(freep) char *value_cell = value ? cells_pad(value, VALUE_WIDTH) : NULL;

                if (!name_cell || !value_cell || !from)
                        continue;
                if (!origin) {
                        (void) printf("%s  %s\n", name_cell, value);
                } else if (cells_width(value) <= VALUE_WIDTH) {
                        (void) printf("%s  %s  %s\n", name_cell, value_cell, from);
                } else { /* whole, and what it is from in its column on a line of its own */
                        (void) printf("%s  %s\n%*s  %s\n", name_cell, value,
                                        KEY_WIDTH + 2 + VALUE_WIDTH, "", from);
                }
        }
}

int config_command(const struct cli *cli, int argc, char **argv, bool origin) {
        _cleanup_(json_putp) struct json_object *config = NULL;
        long status;
        int r;

        if (argc != 1 || strcmp(argv[0], "show") != 0) {
                (void) fprintf(stderr, "virtwatch: it is: config show [--origin]\n");
                return -EINVAL;
        }
        r = client_get(cli, "/api/v1/config", &config, &status);
        if (r < 0) {
                (void) fprintf(stderr,
                                "virtwatch: what the files say, with or without a daemon, is shown by virtwatchd --show-config\n");
                return r;
        }
        if (status != 200)
                return client_refused(config, status, NULL);
        print_config(cli, config, origin);
        return 0;
}
