/* events and timeline: pages of the journal, and what follows them. */

#include <string.h>

#include "cli/cli.h"
#include "virtwatch/virtwatch.h"

#define EVENTS_DEFAULT 20

static const char *query_of(const struct events_options *options) {
        return options->query ? options->query : "";
}

/* How an event is shown, as a line of the table or a row of the timeline. */
struct printer {
        void (*print)(void *userdata, struct json_object *event);
        void *userdata;
};

static void print_as_event(void *userdata, struct json_object *event) {
        print_event(userdata, event);
}

static void print_as_row(void *userdata, struct json_object *event) {
        print_timeline(userdata, event);
}

static void print_line(const char *json, size_t size, void *userdata) {
        _cleanup_(json_putp) struct json_object *event = NULL;
        const struct printer *printer = userdata;

        if (json_parse(json, size, &event) >= 0)
                printer->print(printer->userdata, event);
}

/* Return: how many events the page has. */
static size_t print_page(const struct printer *printer, struct json_object *page, bool backwards) {
        struct json_object *list = json_get(page, "events");
        size_t n = json_length(list);

        for (size_t i = 0; i < n; i++) {
                size_t at = backwards ? n - 1 - i : i;

                printer->print(printer->userdata, json_object_array_get_idx(list, at));
        }
        return n;
}

static bool wants_all(const struct events_options *options) {
        return options->since && !options->lines;
}

static int get_page(const struct cli *cli, const char *path, struct json_object **ret_page) {
        _cleanup_(json_putp) struct json_object *page = NULL;
        long status;
        int r;

        r = client_get(cli, path, &page, &status);
        if (r >= 0 && status != 200)
                r = client_refused(page, status, NULL);
        if (r >= 0)
                *ret_page = TAKE_PTR(page);
        return r;
}

/* The newest events that the query asks for, or those next before an event, oldest first.
 *
 * @before: its sequence number; 0: none */
static int newest_page(const struct cli *cli, const struct events_options *options, uint64_t before,
                struct json_object **ret_page) {
        _cleanup_(freep) char *path = NULL;
        char bound[32] = "";

        if (options->lines > VW_EVENTS_PAGE_MAX) {
                (void) fprintf(stderr, "virtwatch: -n is 1 to %d\n", VW_EVENTS_PAGE_MAX);
                return -EINVAL;
        }
        if (before > 0)
                (void) snprintf(bound, sizeof(bound), "before=%ju&", (uintmax_t) before);
        if (asprintf(&path, "/api/v1/events?newest=1&limit=%ju&%s%s",
                            options->lines                       ? (uintmax_t) options->lines
                                            : wants_all(options) ? VW_EVENTS_PAGE_MAX
                                                                 : EVENTS_DEFAULT,
                            bound, query_of(options)) < 0)
                return -ENOMEM;
        return get_page(cli, path, ret_page);
}

/* As many events behind @after as an answer holds. */
static int page_after(const struct cli *cli, const struct events_options *options, uint64_t after,
                struct json_object **ret_page) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "/api/v1/events?after=%ju&limit=%d&%s", (uintmax_t) after,
                            VW_EVENTS_PAGE_MAX, query_of(options)) < 0)
                return -ENOMEM;
        return get_page(cli, path, ret_page);
}

/* An empty table may be the answer, or a filter that was mistyped. */
static void tell_none(const struct cli *cli, const struct events_options *options) {
        if (!cli->json && !options->follow)
                (void) fprintf(stderr, "virtwatch: there is no such event\n");
}

/* All since a time, however many: who asks for two hours does not mean the last twenty events. */
static int all_since(const struct cli *cli, const struct events_options *options,
                const struct printer *printer, uint64_t *ret_last_seq) {
        uint64_t after = 0;
        size_t n;
        int r;

        do {
                _cleanup_(json_putp) struct json_object *page = NULL;

                r = page_after(cli, options, after, &page);
                if (r < 0)
                        return r;
                n = print_page(printer, page, false);
                if (n == 0 && after == 0)
                        tell_none(cli, options);
                after = (uint64_t) json_get_int(page, "next_after", 0);
                *ret_last_seq = (uint64_t) json_get_int(page, "last_seq", 0);
        } while (n == VW_EVENTS_PAGE_MAX && !ferror(stdout));
        return 0;
}

int events_command(const struct cli *cli, const struct events_options *options) {
        _cleanup_(json_putp) struct json_object *page = NULL;
        struct cli copy = *cli;
        struct printer printer = { .print = print_as_event, .userdata = &copy };
        uint64_t last_seq = 0;
        int r;

        if (wants_all(options)) {
                r = all_since(cli, options, &printer, &last_seq);
                if (r < 0)
                        return r;
        } else {
                r = newest_page(cli, options, 0, &page);
                if (r < 0)
                        return r;
                if (print_page(&printer, page, false) == 0)
                        tell_none(cli, options);
                last_seq = (uint64_t) json_get_int(page, "last_seq", 0);
        }
        if (!options->follow || ferror(stdout))
                return 0;
        return client_follow(cli, query_of(options), last_seq, print_line, &printer);
}

static bool is_slug(const char *text) {
        const size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n >= 1 && n <= 63 && !text[n] && text[0] != '-';
}

/* One page, the newest last where it is followed, or with --since one after the other as far back
 * as that. */
static int timeline_pages(const struct cli *cli, const char *slug,
                const struct events_options *options, const struct printer *printer,
                uint64_t *ret_last_seq) {
        uint64_t before = 0;
        size_t n;
        int r;

        do {
                _cleanup_(json_putp) struct json_object *page = NULL;

                r = newest_page(cli, options, before, &page);
                if (r < 0)
                        return r;
                n = print_page(printer, page, !options->follow);
                if (n == 0 && before == 0 && !cli->json)
                        (void) fprintf(stderr, "virtwatch: nothing has happened to %s yet\n", slug);
                if (before == 0)
                        *ret_last_seq = (uint64_t) json_get_int(page, "last_seq", 0);
                if (n > 0) {
                        struct json_object *oldest =
                                        json_object_array_get_idx(json_get(page, "events"), 0);

                        before = (uint64_t) json_get_int(oldest, "seq", 0);
                }
        } while (wants_all(options) && n == VW_EVENTS_PAGE_MAX && before > 0 && !ferror(stdout));
        return 0;
}

/* An app's timeline is made of the same events as everything else. Newest first, as on REST; who
 * follows it has the newest last. */
int timeline_command(
                const struct cli *cli, const char *slug, const struct events_options *options) {
        struct timeline_printer rows = { .cli = cli, .slug = slug };
        struct printer printer = { .print = print_as_row, .userdata = &rows };
        uint64_t last_seq = 0;
        int r;

        if (!slug) {
                (void) fprintf(stderr, "virtwatch: timeline wants the slug of an app\n");
                return -EINVAL;
        }
        if (!is_slug(slug)) {
                (void) fprintf(stderr,
                                "virtwatch: the slug of an app is 1 to 63 of a-z, 0-9 and -, not - first\n");
                return -EINVAL;
        }
        r = wants_all(options) && options->follow
                        ? all_since(cli, options, &printer, &last_seq)
                        : timeline_pages(cli, slug, options, &printer, &last_seq);
        if (r < 0 || !options->follow || ferror(stdout))
                return r;
        return client_follow(cli, query_of(options), last_seq, print_line, &printer);
}
