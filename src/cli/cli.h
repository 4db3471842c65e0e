#pragma once
/* What the client's files share: main.c (commands), client.c (HTTP over the socket or TCP), sse.c
 * (stream parser), print.c (lines and tables). */

#include <time.h>

#include "base/buf.h"
#include "base/json.h"

struct curl_slist;

struct cli {
        const char *host; /* "unix:/run/virtwatch/http.sock", "http://…" or "https://…"; never NULL
                           */
        const char *token; /* NULL: none */
        const char *ca;    /* file of certificates to trust; NULL: the system's */
        long patience_s;   /* for an answer; 0: as long as the request may take */
        bool json;         /* -o json */
        bool color;
};

/* ---- client.c ---- */

/* One request: libcurl's handle, to be given somewhere to write to and run, and its headers. */
struct client_call {
        void *easy; /* CURL */
        struct curl_slist *headers;
};

/** GET @path. @last_id: NULL, or follow the events after it as a stream. Return: 0; -ENOMEM. */
int client_call_init(const struct cli *cli, const char *path, const char *last_id,
                struct client_call *ret_call);
void client_call_done(struct client_call *call);
/** GET @path. Says on stderr what went wrong. Return: 0 and the parsed answer, *ret_status;
 * negative errno. */
int client_get(const struct cli *cli, const char *path, struct json_object **ret_object,
                long *ret_status);
/** The same with another method and a JSON body (NULL: none); an answer without one leaves
 * *ret_object NULL. */
int client_send(const struct cli *cli, const char *method, const char *path, const char *content,
                struct json_object **ret_object, long *ret_status);
/** Why nothing could be asked, in a few words. @code: a CURLcode. */
const char *client_why_not(const struct cli *cli, int code);
/** Say on stderr that the answer has @status, and the message in it with nothing that a terminal
 * obeys. @otherwise: where it has none; NULL: "refused". Return: -EINVAL, always. */
int client_refused(struct json_object *answer, long status, const char *otherwise);
/**
 * Follow an event stream after @after_seq with the query @query ("kind=vm&", may be ""),
 * reconnecting for ever.
 *
 * Return: only on a failure that trying again cannot mend (401, 403, 400): negative errno; 0:
 * stdout takes no more.
 */
int client_follow(const struct cli *cli, const char *query, uint64_t after_seq,
                void (*event)(const char *json, size_t size, void *userdata), void *userdata);
/** Percent-encode; caller frees; NULL: no memory. */
char *client_escape(const char *text);

/** Send @body (JSON; NULL: none) by that method. Return: 0; -ENOMEM. */
int client_call_set_body(struct client_call *call, const char *method, const char *body);

/* ---- events.c ---- */

struct events_options {
        const char *query; /* "kind=vm&"; NULL: none */
        uint64_t lines;    /* to begin with; 0: as many as suit */
        bool since;        /* the query says since when */
        bool follow;
};

/** Events, and what follows them. Says on stderr what went wrong. Return: 0; negative errno. */
int events_command(const struct cli *cli, const struct events_options *options);
/** Those of an app; the query names its slug. @slug: NULL: not given. Return: 0; negative errno. */
int timeline_command(const struct cli *cli, const char *slug, const struct events_options *options);

/* ---- sse.c: text/event-stream, by the HTML standard's section 9.2; pure ---- */

struct sse_parser {
        struct buf line, data; /* private */
        char id[32];           /* of the last event that was complete */
        char next_id[32];      /* private: of the one under way */
        bool skip_lf;          /* private: after a CR */
        bool skip_line;        /* private: it is too long */
        bool skip_event;       /* private: a part of it was too long */
        uint64_t too_long;     /* lines and events refused */
};

#define SSE_PARSER_INIT \
        { .line = BUF_INIT(1U << 20), .data = BUF_INIT(1U << 20) }
void sse_parser_done(struct sse_parser *parser);
/** A new stream begins: what was left of the last one is dropped, its id is kept. */
void sse_parser_begin(struct sse_parser *parser);
/** Feed bytes; @event is called for each event that has data. Return: 0; -ENOMEM. */
int sse_parser_feed(struct sse_parser *parser, const char *bytes, size_t size,
                void (*event)(const char *data, size_t size, void *userdata), void *userdata);

/* ---- print.c ---- */

/** One line, with nothing in it that a terminal obeys. */
void print_json(struct json_object *object);
/** A cell of a table, cells_pad() wide, and two blanks; "-" where @text is NULL. */
void print_cell(const char *text, size_t columns);
#define PRINT_WHEN_MAX 20
/** "2026-06-26 02:58:03", local time; @otherwise for what is no RFC 3339. Return: @text. */
const char *print_when(
                const char *rfc3339, const char *otherwise, char text[static PRINT_WHEN_MAX]);
/** What stands behind an event that no source told, but a look at how things are; or "". */
const char *print_synthetic(struct json_object *event);
void print_event(const struct cli *cli, struct json_object *event);
void print_workloads(const struct cli *cli, struct json_object *workloads);
void print_status(const struct cli *cli, struct json_object *ready, struct json_object *health,
                struct json_object *version, struct json_object *workloads,
                struct json_object *listeners);

/* ---- print_timeline.c ---- */

struct timeline_printer {
        const struct cli *cli;
        const char *slug;
        char day[32]; /* private: the one that rows are below; "": none yet */
};

void print_timeline(struct timeline_printer *printer, struct json_object *event);
/** " (today)", " (yesterday)", or "": what the day of @tm (local time) is at @now_s. */
const char *print_near_day(const struct tm *tm, time_t now_s);

/* ---- print_app.c ---- */

void print_apps(const struct cli *cli, struct json_object *apps);
void print_analytics(const struct cli *cli, struct json_object *analytics);

/* ---- probe.c ---- */

/** probe [show [SLUG]] | set SLUG KEY=VALUE... | run SLUG | rm SLUG. Says on stderr what went
 * wrong. Return: 0; 1 it was run and is not up; negative errno. */
int probe_command(const struct cli *cli, int argc, char **argv);
/** The body of a set: what is there (NULL: nothing) with each KEY=VALUE laid over it; values that
 * are JSON numbers, true or false are taken as such. Caller puts. Return: 0; -EINVAL and the
 * argument that is no KEY=VALUE; -ENOMEM. */
int probe_overlay(struct json_object *config, int argc, char **argv, struct json_object **ret_body,
                const char **ret_bad);

/* ---- workload.c ---- */

struct workload_options {
        const char *name;          /* --yes-i-mean; NULL: it is asked for */
        uint64_t vcpus, memory_mb; /* 0: not given */
};

/** workload stop|destroy|scale NAME. Says on stderr what went wrong. Return: 0; negative errno. */
int workload_command(const struct cli *cli, int argc, char **argv,
                const struct workload_options *options);
/* ---- config.c ---- */

/** config show. Says on stderr what went wrong. Return: 0; negative errno. */
int config_command(const struct cli *cli, int argc, char **argv, bool origin);

/* ---- token.c ---- */

struct token_options {
        const char *scopes;                    /* "read,events:write"; NULL: not given */
        const char *expires;                   /* "30d"; NULL: not given */
        struct json_object *slugs, *workloads; /* arrays; NULL: none */
};

/** token [list] | create NAME --scope ... | revoke ID|NAME. Says on stderr what went wrong. Return:
 * 0; negative errno. */
int token_command(
                const struct cli *cli, const struct token_options *options, int argc, char **argv);

/* ---- print_node.c ---- */

void print_nodes(const struct cli *cli, struct json_object *nodes);
