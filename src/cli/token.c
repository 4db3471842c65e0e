/* virtwatch token: who may ask over HTTP, and what. */

#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

#define TOKENS     "/api/v1/tokens"
#define WHEN_WIDTH (PRINT_WHEN_MAX - 1)

/* ---- printing ---- */

/* "read,events:write", and what it is limited to. */
static void print_rights(struct json_object *token) {
        static const char *const lists[] = { "scopes", "slugs", "workloads" };
        static const char *const before[] = { "", "  slugs: ", "  workloads: " };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                struct json_object *list = json_get(token, lists[i]);
                size_t n = json_length(list);

                for (size_t j = 0; j < n; j++) {
                        _cleanup_(freep) char *shown = text_escape_terminal(
                                        json_object_get_string(json_object_array_get_idx(list, j)));

                        (void) printf("%s%s", j ? "," : before[i], shown ? shown : "");
                }
        }
        (void) printf("\n");
}

static void print_token(struct json_object *token) {
        char when[PRINT_WHEN_MAX];

        print_cell(json_get_string(token, "id"), 12);
        print_cell(json_get_string(token, "name"), 20);
        print_cell(print_when(json_get_string(token, "created_at"), "-", when), WHEN_WIDTH);
        print_cell(json_get_bool(token, "expired", false)
                                        ? "expired"
                                        : print_when(json_get_string(token, "expires_at"), "never",
                                                          when),
                        WHEN_WIDTH);
        print_cell(print_when(json_get_string(token, "last_used_at"), "never", when), WHEN_WIDTH);
        print_rights(token);
}

static void print_tokens(const struct cli *cli, struct json_object *tokens) {
        size_t n = json_length(tokens);

        if (cli->json) {
                print_json(tokens);
                return;
        }
        (void) printf("%-12s  %-20s  %-*s  %-*s  %-*s  %s\n", "ID", "NAME", WHEN_WIDTH, "MADE",
                        WHEN_WIDTH, "EXPIRES", WHEN_WIDTH, "LAST USED", "SCOPES");
        if (n == 0)
                (void) fprintf(stderr, "virtwatch: there is no token yet\n");
        for (size_t i = 0; i < n; i++)
                print_token(json_object_array_get_idx(tokens, i));
}

/* The token alone on stdout, so that it can be redirected to a file. */
static void print_made(const struct cli *cli, struct json_object *token) {
        const char *text = json_get_string(token, "token"), *id = json_get_string(token, "id");
        _cleanup_(freep) char *shown = text_escape_terminal(text ? text : ""),
                              *shown_id = text_escape_terminal(id ? id : "");

        if (cli->json) {
                print_json(token);
                return;
        }
        (void) printf("%s\n", shown ? shown : "");
        (void) fprintf(stderr, "virtwatch: this is token %s; it is not shown again\n",
                        shown_id ? shown_id : "");
}

/* ---- asking ---- */

static int ask(const struct cli *cli, const char *method, const char *path, const char *body,
                struct json_object **ret_object) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        long status = 0;
        int r;

        r = client_send(cli, method, path, body, &object, &status);
        if (r < 0)
                return r;
        if (status / 100 != 2)
                return client_refused(object, status, NULL);
        *ret_object = TAKE_PTR(object);
        return 0;
}

static int list(const struct cli *cli) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        int r;

        r = ask(cli, NULL, TOKENS, NULL, &object);
        if (r >= 0)
                print_tokens(cli, object);
        return r;
}

/* The body of a create. Caller puts; NULL: no memory. */
static struct json_object *body_of(const char *name, const struct token_options *options) {
        struct json_object *body = json_object_new_object(), *scopes = json_object_new_array();
        const char *at = options->scopes ? options->scopes : "";

        (void) json_add_string(body, "name", name);
        (void) json_add(body, "scopes", scopes);
        while (*at) {
                size_t n = strcspn(at, ",");

                (void) json_object_array_add(scopes, json_object_new_string_len(at, (int) n));
                at += n + (at[n] == ',');
        }
        (void) json_add_string(body, "expires", options->expires);
        (void) json_add(body, "slugs", json_object_get(options->slugs));
        (void) json_add(body, "workloads", json_object_get(options->workloads));
        return body;
}

static int create(const struct cli *cli, const char *name, const struct token_options *options) {
        _cleanup_(json_putp) struct json_object *body = NULL, *object = NULL;
        int r;

        if (!options->scopes) {
                (void) fprintf(stderr,
                                "virtwatch: token create wants --scope with some of read, events:write, probes:write, apps:write, actions, admin\n");
                return -EINVAL;
        }
        body = body_of(name, options);
        r = body ? ask(cli, "POST", TOKENS, json_text(body), &object) : -ENOMEM;
        if (r >= 0)
                print_made(cli, object);
        return r;
}

static int revoke_token(const struct cli *cli, const char *name) {
        _cleanup_(freep) char *escaped = client_escape(name), *path = NULL;
        _cleanup_(json_putp) struct json_object *object = NULL;
        const char *text;
        int r;

        if (!escaped || asprintf(&path, TOKENS "/%s", escaped) < 0)
                return -ENOMEM;
        r = ask(cli, "DELETE", path, NULL, &object);
        text = r < 0 ? NULL : json_get_string(object, "message");
        if (text)
                (void) fprintf(stderr, "virtwatch: %s\n", text);
        return r;
}

int token_command(
                const struct cli *cli, const struct token_options *options, int argc, char **argv) {
        const char *verb = argc > 0 ? argv[0] : "list";

        if (strcmp(verb, "list") == 0 && argc <= 1)
                return list(cli);
        if (strcmp(verb, "create") == 0 && argc == 2)
                return create(cli, argv[1], options);
        if (strcmp(verb, "revoke") == 0 && argc == 2)
                return revoke_token(cli, argv[1]);
        (void) fprintf(stderr,
                        "virtwatch: token [list], token create NAME --scope SCOPE,..., token revoke ID|NAME\n");
        return -EINVAL;
}
