/* What may follow on a command line. */

#include "cli/complete.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/rows.h"
#include "virtwatch/virtwatch.h"

#define POSITIONS_MAX 16
#define PATIENCE_S    2L

struct span {
        const char *at;
        size_t n;
};

struct entry {
        struct span synopsis, about;
};

struct query {
        const char *help;
        const char *typed;
        size_t offset; /* in typed: where the value begins */
        struct buf *out;
        struct span last; /* offered: a command of several lines is one candidate */
        enum complete_ask ask;
        const char *positions[POSITIONS_MAX]; /* words before it that are no options */
        size_t n_positions;
};

static bool span_equal(struct span span, const char *text) {
        return strlen(text) == span.n && memcmp(text, span.at, span.n) == 0;
}

static bool spans_equal(struct span a, struct span b) {
        return a.n == b.n && memcmp(a.at, b.at, b.n) == 0;
}

/* The next line of the help that describes something. */
static bool next_entry(const char **at, struct entry *ret_entry) {
        while (**at) {
                const char *line = *at, *end = strchrnul(line, '\n'),
                           *text = line + strspn(line, " "), *gap;

                *at = *end ? end + 1 : end;
                if (text == line || (!islower((unsigned char) *text) && *text != '-'))
                        continue;
                gap = memmem(text, (size_t) (end - text), "  ", 2);
                ret_entry->synopsis.at = text;
                ret_entry->synopsis.n = (size_t) ((gap ? gap : end) - text);
                ret_entry->about.at = gap ? gap + strspn(gap, " ") : end;
                ret_entry->about.n = (size_t) (end - ret_entry->about.at);
                return true;
        }
        return false;
}

/* Blanks and commas part tokens. */
static bool next_token(struct span *rest, struct span *ret_token) {
        while (rest->n > 0 && strchr(" ,", *rest->at)) {
                rest->at++;
                rest->n--;
        }
        ret_token->at = rest->at;
        ret_token->n = 0;
        while (rest->n > 0 && !strchr(" ,", *rest->at)) {
                rest->at++;
                rest->n--;
                ret_token->n++;
        }
        return ret_token->n > 0;
}

static int offer(struct query *query, struct span candidate, struct span about) {
        const char *value = query->typed + query->offset;

        if (strlen(value) > candidate.n || memcmp(value, candidate.at, strlen(value)) != 0 ||
                        (query->last.n > 0 && spans_equal(candidate, query->last)))
                return 0;
        query->last = candidate;
        return buf_printf(query->out, "%.*s%.*s\t%.*s\n", (int) query->offset, query->typed,
                        (int) candidate.n, candidate.at, (int) about.n, about.at);
}

static int offer_words(struct query *query, const char *const *words, size_t n) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = offer(query, (struct span){ words[i], strlen(words[i]) },
                                (struct span){ "", 0 });
        return r;
}

/* ---- options ---- */

/* Brackets and dots off; what is repeated stays so. */
static struct span bare(struct span token, bool *ret_repeats) {
        while (token.n > 0 && *token.at == '[') {
                token.at++;
                token.n--;
        }
        *ret_repeats = token.n > 3 && memcmp(token.at + token.n - 3, "...", 3) == 0;
        while (token.n > 0 && strchr("].", token.at[token.n - 1]))
                token.n--;
        return token;
}

static struct span option_name(struct span token) {
        const char *equals = memchr(token.at, '=', token.n);

        if (equals)
                token.n = (size_t) (equals - token.at);
        return token;
}

/* Does a value follow the option @token of a command's line? "[-f]" no, "--batch -n N" no, yes. */
static bool value_follows(struct span rest, struct span token) {
        struct span next;

        return token.at[token.n - 1] != ']' && token.at[token.n - 1] != '.' &&
                        next_token(&rest, &next) && *next.at != '-' && *next.at != '[';
}

/* The next option that a line names: one of its own, or one that a command takes. */
static bool next_option(const struct entry *entry, struct span *rest, struct span *ret_option,
                bool *ret_takes_value) {
        bool repeats;

        while (next_token(rest, ret_option)) {
                struct span word = bare(*ret_option, &repeats);

                if (word.n < 2 || *word.at != '-')
                        continue;
                *ret_takes_value = *entry->synopsis.at == '-'
                                ? memchr(entry->synopsis.at, '=', entry->synopsis.n) != NULL
                                : value_follows(*rest, *ret_option);
                *ret_option = option_name(word);
                return true;
        }
        return false;
}

static bool option_takes_value(const char *help, const char *option) {
        struct span rest, found;
        struct entry entry;
        bool takes_value;

        while (next_entry(&help, &entry)) {
                for (rest = entry.synopsis; next_option(&entry, &rest, &found, &takes_value);)
                        if (takes_value && span_equal(found, option))
                                return true;
        }
        return false;
}

static bool is_option(const struct entry *entry) {
        return *entry->synopsis.at == '-';
}

static bool has_line(const char *help, struct span option) {
        struct span rest, found;
        struct entry entry;
        bool takes_value;

        while (next_entry(&help, &entry)) {
                for (rest = entry.synopsis; is_option(&entry) &&
                                next_option(&entry, &rest, &found, &takes_value);)
                        if (spans_equal(found, option))
                                return true;
        }
        return false;
}

static bool is_of_command(const struct entry *entry, const char *command) {
        size_t n = strlen(command);

        return entry->synopsis.n >= n && memcmp(entry->synopsis.at, command, n) == 0 &&
                        (entry->synopsis.n == n || entry->synopsis.at[n] == ' ');
}

/* The options that have a line, and after a command those of its own lines that have none. */
static int offer_options(struct query *query) {
        const char *help = query->help;
        struct span rest, found;
        struct entry entry;
        bool takes_value;
        int r = 0;

        while (r >= 0 && next_entry(&help, &entry)) {
                if (!is_option(&entry) &&
                                (query->n_positions == 0 ||
                                                !is_of_command(&entry, query->positions[0])))
                        continue;
                for (rest = entry.synopsis;
                                r >= 0 && next_option(&entry, &rest, &found, &takes_value);) {
                        if (is_option(&entry) || !has_line(query->help, found)) {
                                r = offer(query, found,
                                                is_option(&entry) ? entry.about
                                                                  : (struct span){ "", 0 });
                        }
                }
        }
        return r;
}

static int offer_filter(struct query *query) {
        static const char *const keys[] = {
                "kind=", "name=", "action=", "severity=", "workload=", "slug=", "state=", "source="
        };
        static const char *const kinds[] = { "vm", "container", "unit", "probe", "source", "app" };
        static const char *const severities[] = { "info", "warning", "error" };
        static const char *const states[] = { "unknown", "created", "starting", "running", "paused",
                "stopping", "stopped", "failed" };
        const char *key = query->typed + query->offset, *equals = strchr(key, '=');
        struct span name = { key, equals ? (size_t) (equals - key) : 0 };

        if (!equals)
                return offer_words(query, keys, ARRAY_SIZE(keys));
        query->offset = (size_t) (equals + 1 - query->typed);
        if (span_equal(name, "kind"))
                return offer_words(query, kinds, ARRAY_SIZE(kinds));
        if (span_equal(name, "severity"))
                return offer_words(query, severities, ARRAY_SIZE(severities));
        if (span_equal(name, "state"))
                return offer_words(query, states, ARRAY_SIZE(states));
        if (span_equal(name, "slug"))
                query->ask = COMPLETE_SLUGS;
        else if (span_equal(name, "workload"))
                query->ask = COMPLETE_WORKLOADS;
        return 0;
}

static int offer_value(struct query *query, struct span option, size_t offset) {
        static const char *const formats[] = { "table", "json" },
                                 *const hosts[] = { "unix:" VW_HTTP_SOCKET_DEFAULT,
                                         "http://" VW_HTTP_ADDRESS_DEFAULT };
        const char *columns[ROWS_KEY_MAX_];

        query->offset = offset;
        if (span_equal(option, "-o") || span_equal(option, "--output"))
                return offer_words(query, formats, ARRAY_SIZE(formats));
        if (span_equal(option, "--host"))
                return offer_words(query, hosts, ARRAY_SIZE(hosts));
        if (span_equal(option, "--filter"))
                return offer_filter(query);
        if (span_equal(option, "--sort")) {
                for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
                        columns[i] = rows_key_to_string((enum rows_key) i);
                return offer_words(query, columns, ARRAY_SIZE(columns));
        }
        if ((option.n > 5 && memcmp(option.at + option.n - 5, "-file", 5) == 0) ||
                        span_equal(option, "--ca"))
                query->ask = COMPLETE_FILES;
        else if (span_equal(option, "--slug"))
                query->ask = COMPLETE_SLUGS;
        else if (span_equal(option, "--workload"))
                query->ask = COMPLETE_WORKLOADS;
        return 0;
}

/* ---- commands and their arguments ---- */

static bool is_word(struct span token) {
        return token.n > 0 && islower((unsigned char) *token.at);
}

/* "a|b|c", or "a". */
static bool one_of(struct span token, const char *text) {
        while (token.n > 0) {
                const char *bar = memchr(token.at, '|', token.n);
                struct span word = { token.at, bar ? (size_t) (bar - token.at) : token.n };

                if (span_equal(word, text))
                        return true;
                token.at += word.n + (bar ? 1 : 0);
                token.n -= word.n + (bar ? 1 : 0);
        }
        return false;
}

static int offer_token(struct query *query, struct span token, struct span about) {
        static const char *const probe_keys[] = { "url=", "path=", "interval_s=",
                "expected_status=", "timeout_s=", "enabled=", "failures=", "successes=",
                "follow_redirects=", "insecure=", "target=", "port=" };
        int r = 0;

        if (span_equal(token, "SLUG")) {
                query->ask = COMPLETE_SLUGS;
        } else if (span_equal(token, "WORKLOAD")) {
                query->ask = COMPLETE_WORKLOADS;
        } else if (span_equal(token, "KEY=VALUE") && text_equal(query->positions[0], "probe")) {
                return offer_words(query, probe_keys, ARRAY_SIZE(probe_keys));
        } else if (is_word(token)) {
                while (r >= 0 && token.n > 0) {
                        const char *bar = memchr(token.at, '|', token.n);
                        struct span word = { token.at, bar ? (size_t) (bar - token.at) : token.n };

                        r = offer(query, word, about);
                        token.at += word.n + (bar ? 1 : 0);
                        token.n -= word.n + (bar ? 1 : 0);
                }
        }
        return r;
}

/* "[--filter KEY=VALUE]..." begins at @token: go behind it. */
static void skip_option(struct span *rest, struct span token) {
        while (!memchr(token.at, ']', token.n))
                if (!next_token(rest, &token))
                        return;
}

/* One line of the help against the words before the one that is typed. */
static int match(struct query *query, const struct entry *entry) {
        struct span rest = entry->synopsis, token, word;
        bool follows = true, repeats;
        size_t k = 0;
        int r = 0;

        while (r >= 0 && next_token(&rest, &token)) {
                word = bare(token, &repeats);
                if (span_equal(token, "|")) { /* another end of the same command */
                        k = 1;
                        follows = query->n_positions > 0 &&
                                        is_of_command(entry, query->positions[0]);
                } else if (word.n > 0 && *word.at == '-') {
                        skip_option(&rest, token);
                } else if (follows && k < query->n_positions) {
                        follows = !is_word(word) || one_of(word, query->positions[k]);
                        k = repeats ? query->n_positions : k + 1;
                        if (follows && repeats)
                                r = offer_token(query, word, entry->about);
                } else if (follows) {
                        r = offer_token(query, word, entry->about);
                        follows = false;
                }
        }
        return r;
}

static int offer_positions(struct query *query) {
        const char *help = query->help;
        struct entry entry;
        int r = 0;

        while (r >= 0 && next_entry(&help, &entry))
                if (!is_option(&entry))
                        r = match(query, &entry);
        return r;
}

/* Take the options out of the words before the last. Return: 0; 1 the last is the value of one,
 * which has been offered; negative errno. */
static int take_positions(struct query *query, int n, char **words) {
        int r;

        for (int i = 0; i + 1 < n; i++) {
                if (words[i][0] != '-') {
                        if (query->n_positions < POSITIONS_MAX)
                                query->positions[query->n_positions++] = words[i];
                } else if (option_takes_value(query->help, words[i]) && ++i + 1 == n) {
                        r = offer_value(query, (struct span){ words[i - 1], strlen(words[i - 1]) },
                                        0);
                        return r < 0 ? r : 1;
                }
        }
        return 0;
}

int complete_words(const char *help, int n, char **words, struct buf *out,
                enum complete_ask *ret_ask, size_t *ret_offset) {
        struct query query = { .help = help, .typed = n > 0 ? words[n - 1] : "", .out = out };
        const char *equals = strchr(query.typed, '=');
        int r;

        r = take_positions(&query, n, words);
        if (r == 0 && text_starts_with(query.typed, "--") && equals) {
                r = offer_value(&query,
                                (struct span){ query.typed, (size_t) (equals - query.typed) },
                                (size_t) (equals + 1 - query.typed));
        } else if (r == 0 && query.typed[0] == '-') {
                r = offer_options(&query);
        } else if (r == 0) {
                r = offer_positions(&query);
        }
        if (r < 0)
                return r;
        *ret_ask = query.ask;
        *ret_offset = query.offset;
        return 0;
}

/* ---- asking ---- */

static const char *value_of(int n, char **words, const char *option) {
        const char *found = NULL;

        for (int i = 0; i + 1 < n; i++) {
                if (strcmp(words[i], option) == 0 && i + 2 < n)
                        found = words[i + 1];
                else if (text_starts_with(words[i], option) && words[i][strlen(option)] == '=')
                        found = words[i] + strlen(option) + 1;
        }
        return found;
}

/* Nothing in a name may end the line, or obey a terminal. */
static void print_asked(
                struct json_object *list, const char *key, const char *typed, size_t offset) {
        for (size_t i = 0; i < json_length(list); i++) {
                struct json_object *item = json_object_array_get_idx(list, i);
                const char *word = json_get_string(item, key),
                           *name = json_get_string(item, "name");
                _cleanup_(freep) char *shown = text_escape_terminal(word ? word : ""),
                                      *about = text_escape_terminal(name ? name : "");

                if (word && shown && about && strcmp(word, shown) == 0 &&
                                text_starts_with(word, typed + offset))
                        (void) printf("%.*s%s\t%s\n", (int) offset, typed, word, about);
        }
}

int complete_command(const struct cli *cli, const char *help, int n, char **words) {
        const char *host = value_of(n, words, "--host"), *token = value_of(n, words, "--token"),
                   *file = value_of(n, words, "--token-file"), *ca = value_of(n, words, "--ca");
        _cleanup_(json_putp) struct json_object *list = NULL;
        enum complete_ask ask = COMPLETE_NOTHING;
        _cleanup_(freep) char *text = NULL;
        struct cli asked = *cli;
        struct buf out = BUF_INIT(65536);
        size_t offset = 0;
        long status = 0;

        if (!freopen("/dev/null", "w", stderr)) /* it is the terminal that is typed on */
                return -errno;
        if (complete_words(help, n, words, &out, &ask, &offset) >= 0 && out.size > 0)
                (void) fputs(out.data, stdout);
        (void) fflush(stdout);
        buf_done(&out);
        if (ask == COMPLETE_FILES)
                (void) printf(":files\n");
        if (ask != COMPLETE_SLUGS && ask != COMPLETE_WORKLOADS)
                return 0;

        asked.patience_s = PATIENCE_S;
        if (host)
                asked.host = host;
        if (ca)
                asked.ca = ca;
        if (file && fs_read_text(AT_FDCWD, file, 4096, &text, NULL) >= 0) {
                text[strcspn(text, "\r\n")] = '\0';
                asked.token = text;
        }
        if (token)
                asked.token = token;
        if (client_get(&asked,
                            ask == COMPLETE_SLUGS ? "/api/app-gateway/apps" : "/api/v1/workloads",
                            &list, &status) >= 0 &&
                        status == 200)
                print_asked(list, ask == COMPLETE_SLUGS ? "slug" : "id", words[n - 1], offset);
        return 0;
}
