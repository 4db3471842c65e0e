/* virtwatch workload: stop, destroy, scale. Whoever asks says the workload's name a second time,
 * so that a slip of the hand ends nothing. */

#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

#define NAME_BYTES_MAX 1024

static int path_of(const char *name, const char *verb, char **ret_path) {
        _cleanup_(freep) char *escaped = client_escape(name);

        if (!escaped ||
                        asprintf(ret_path, "/api/v1/workloads/%s%s%s", escaped, verb[0] ? "/" : "",
                                        verb) < 0)
                return -ENOMEM;
        return 0;
}

/* Ask for the name on the terminal, or whatever stands in its place. */
static int ask_name(const struct cli *cli, const char *given, const char *verb,
                char name[static NAME_BYTES_MAX]) {
        _cleanup_(json_putp) struct json_object *workload = NULL;
        _cleanup_(freep) char *path = NULL, *shown = NULL;
        const char *kind, *id, *name_now;
        long status = 0;
        int r;

        r = path_of(given, "", &path);
        if (r >= 0)
                r = client_get(cli, path, &workload, &status);
        if (r < 0)
                return r;
        if (status != 200)
                return client_refused(workload, status, NULL);
        kind = json_get_string(workload, "kind");
        id = json_get_string(workload, "id");
        name_now = json_get_string(workload, "name");
        if (asprintf(&shown, "%s %s (%s)", kind ? kind : "workload", name_now ? name_now : given,
                            id ? id : "") < 0) {
                shown = NULL;
                return -ENOMEM;
        }
        free(path);
        path = text_escape_terminal(shown);
        (void) fprintf(stderr, "To %s the %s, type its name: ", verb, path ? path : given);
        (void) fflush(stderr);
        if (!fgets(name, NAME_BYTES_MAX, stdin)) {
                (void) fprintf(stderr,
                                "\nvirtwatch: nothing was done; without a terminal: --yes-i-mean NAME\n");
                return -EINVAL;
        }
        name[strcspn(name, "\r\n")] = '\0';
        return 0;
}

static void print_outcome(const struct cli *cli, struct json_object *answer) {
        _cleanup_(freep) char *name = NULL, *message = NULL, *what = NULL;
        const char *text = json_get_string(answer, "name"),
                   *said = json_get_string(answer, "message"),
                   *action = json_get_string(answer, "action");
        int64_t vcpus = json_get_int(answer, "vcpus", 0),
                memory = json_get_int(answer, "memory_mb", 0);

        if (cli->json) {
                print_json(answer);
                return;
        }
        name = text_escape_terminal(text ? text : "");
        message = text_escape_terminal(said ? said : "");
        what = text_escape_terminal(action ? action : "");
        (void) printf("%s: %s", name ? name : "", what ? what : "");
        if (vcpus)
                (void) printf(" to %jd vCPU%s", (intmax_t) vcpus, vcpus == 1 ? "" : "s");
        if (memory)
                (void) printf(" %s %jd MiB", vcpus ? "and" : "to", (intmax_t) memory);
        (void) printf(": %s\n", message ? message : "");
}

static int act(const struct cli *cli, const char *verb, const char *given,
                const struct workload_options *options) {
        _cleanup_(json_putp) struct json_object *body = json_object_new_object(), *answer = NULL;
        _cleanup_(freep) char *path = NULL;
        char name[NAME_BYTES_MAX];
        long status = 0;
        int r;

        r = path_of(given, verb, &path);
        if (r >= 0 && !options->name)
                r = ask_name(cli, given, verb, name);
        if (r >= 0)
                r = json_add_string(body, "confirm", options->name ? options->name : name);
        if (r >= 0 && options->vcpus)
                r = json_add_uint(body, "vcpus", options->vcpus);
        if (r >= 0 && options->memory_mb)
                r = json_add_uint(body, "memory_mb", options->memory_mb);
        if (r >= 0)
                r = client_send(cli, "POST", path, json_text(body), &answer, &status);
        if (r < 0)
                return r;
        if (status / 100 != 2)
                return client_refused(answer, status, NULL);
        print_outcome(cli, answer);
        return 0;
}

int workload_command(const struct cli *cli, int argc, char **argv,
                const struct workload_options *options) {
        static const char *const verbs[] = { "stop", "destroy", "scale" };
        bool numbers = options->vcpus || options->memory_mb, scale;

        for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(verbs); i++) {
                if (strcmp(argv[0], verbs[i]) != 0)
                        continue;
                scale = strcmp(argv[0], "scale") == 0;
                if (scale == numbers)
                        return act(cli, verbs[i], argv[1], options);
                (void) fprintf(stderr,
                                scale ? "virtwatch: scale wants --vcpus N, --memory MIB or both\n"
                                      : "virtwatch: --vcpus and --memory are for scale\n");
                return -EINVAL;
        }
        (void) fprintf(stderr,
                        "virtwatch: workload stop NAME, workload destroy NAME, workload scale NAME [--vcpus N] [--memory MIB]\n");
        return -EINVAL;
}
