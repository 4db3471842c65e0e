/* Transfers of libcurl's multi interface, each a call that knows what it was asked for. */

#include "cli/top_net.h"

#include <string.h>

#include "base/list.h"

#define ANSWER_MAX     (64U << 20)
#define CALL_MS        5000L
#define ACTION_MS      615000L /* the daemon's own timeout is ten minutes at most */
#define RINGS_AT_ONCE  4
#define FIRST_EVENTS   100
#define NODES_AGAIN_US (60 * USEC_PER_SEC)
#define AT_ONCE_US     (500 * USEC_PER_MSEC)

enum call_kind {
        CALL_WORKLOADS,
        CALL_NODES,
        CALL_VERSION,
        CALL_RING,
        CALL_PAGE, /* the newest events, to begin with */
        CALL_STREAM,
        CALL_ACTION, /* what is under way in the model */
        CALL_KIND_MAX_,
};

struct top_call {
        struct list list;
        struct top_net *net;
        enum call_kind kind;
        struct client_call client;
        struct buf body;
        char *id; /* CALL_RING */
};

struct top_net {
        const struct cli *cli;
        const char *query;
        struct top_model *model;
        CURLM *multi;
        struct list calls;
        unsigned int under_way[CALL_KIND_MAX_];
        uint64_t begun_us, next_us; /* the refresh that was started last, the next one */
        uint64_t nodes_us;          /* from when on nodes are asked for */
        unsigned int failures;
        bool has_page;
        bool streamed; /* the stream has said something */
        bool changed;  /* the model may have */
        struct sse_parser parser;
        char **rings; /* ids of those still to be asked for, from next_ring on */
        size_t n_rings, next_ring;
};

/* ---- one call ---- */

static void call_free(struct top_call *call) {
        struct top_net *net = call->net;

        if (call->client.easy)
                (void) curl_multi_remove_handle(net->multi, call->client.easy);
        client_call_done(&call->client);
        buf_done(&call->body);
        free(call->id);
        list_remove(&call->list);
        free(call);
}

static void on_event(const char *data, size_t size, void *userdata) {
        _cleanup_(json_putp) struct json_object *event = NULL;
        struct top_net *net = userdata;

        if (json_parse(data, size, &event) >= 0 && top_model_add_event(net->model, event) >= 0)
                net->changed = true;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        struct top_call *call = userdata;
        struct top_net *net = call->net;
        int r;

        if (call->kind == CALL_STREAM) {
                net->streamed = true;
                r = sse_parser_feed(&net->parser, data, size * n, on_event, net);
        } else {
                r = buf_append(&call->body, data, size * n);
        }
        return r < 0 ? 0 : size * n;
}

static char *call_path(const struct top_net *net, enum call_kind kind, const char *id) {
        _cleanup_(freep) char *escaped = id ? client_escape(id) : NULL;
        char *path = NULL;
        int r = -1;

        if (kind == CALL_WORKLOADS) {
                r = asprintf(&path, "/api/v1/workloads?%s", net->query);
        } else if (kind == CALL_NODES) {
                r = asprintf(&path, "/api/v1/nodes");
        } else if (kind == CALL_VERSION) {
                r = asprintf(&path, "/api/v1/version");
        } else if (kind == CALL_PAGE) {
                r = asprintf(&path, "/api/v1/events?newest=1&limit=%d&%s", FIRST_EVENTS,
                                net->query);
        } else if (kind == CALL_STREAM) {
                r = asprintf(&path, "/api/v1/events?%s", net->query);
        } else if (kind == CALL_ACTION && escaped) {
                r = asprintf(&path, "/api/v1/workloads/%s/%s", escaped, net->model->under_way.verb);
        } else if (escaped) {
                r = asprintf(&path, "/api/app-gateway/metrics/x?vm_name=%s", escaped);
        }
        return r < 0 ? NULL : path;
}

static int set_action(struct top_net *net, struct client_call *client) {
        _cleanup_(json_putp) struct json_object *body = json_object_new_object();
        const struct top_ask *ask = &net->model->under_way;
        const char *text;
        int r;

        r = body ? json_add_string(body, "confirm", ask->name) : -ENOMEM;
        if (r >= 0 && ask->vcpus)
                r = json_add_uint(body, "vcpus", ask->vcpus);
        if (r >= 0 && ask->memory_mb)
                r = json_add_uint(body, "memory_mb", ask->memory_mb);
        text = r >= 0 ? json_text(body) : NULL;
        return text ? client_call_set_body(client, "POST", text) : -ENOMEM;
}

/* One that cannot be started is as one that failed: the next refresh tries again. */
static void start(struct top_net *net, enum call_kind kind, const char *id) {
        _cleanup_(freep) char *path = call_path(net, kind, id);
        struct top_call *call = calloc(1, sizeof(*call));
        bool stream = kind == CALL_STREAM;
        CURL *easy;

        if (!path || !call) {
                free(call);
                return;
        }
        call->net = net;
        call->kind = kind;
        call->body.max = ANSWER_MAX;
        call->id = id ? strdup(id) : NULL;
        list_init(&call->list);
        if (stream) {
                sse_parser_begin(&net->parser);
                net->streamed = false;
        }
        if ((id && !call->id) ||
                        client_call_init(net->cli, path, stream ? net->parser.id : NULL,
                                        &call->client) < 0 ||
                        (kind == CALL_ACTION && set_action(net, &call->client) < 0)) {
                call_free(call);
                return;
        }
        easy = call->client.easy;
        (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
        (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
        (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no wait for a name server */
        (void) curl_easy_setopt(easy, stream ? CURLOPT_CONNECTTIMEOUT_MS : CURLOPT_TIMEOUT_MS,
                        kind == CALL_ACTION ? ACTION_MS : CALL_MS);
        if (curl_multi_add_handle(net->multi, easy) != CURLM_OK) {
                call_free(call);
                return;
        }
        list_append(&net->calls, &call->list);
        net->under_way[kind]++;
}

/* ---- rings ---- */

static void forget_rings(struct top_net *net) {
        for (size_t i = 0; i < net->n_rings; i++)
                free(net->rings[i]);
        free(net->rings);
        net->rings = NULL;
        net->n_rings = net->next_ring = 0;
}

/* Those on the screen that have samples. While the last ones are not all here no new are wanted,
 * so that the lowest get theirs too. */
static void want_rings(struct top_net *net) {
        const struct top_list *list = &net->model->lists[TOP_WORKLOADS];
        const struct row *row;

        if (net->next_ring < net->n_rings)
                return;
        forget_rings(net);
        net->rings = calloc(list->page + 1, sizeof(*net->rings));
        if (!net->rings)
                return;
        for (size_t i = list->first; i < list->n && i < list->first + list->page; i++) {
                row = top_model_row(net->model, i);
                if (!json_get(row->json, "sample/at"))
                        continue;
                net->rings[net->n_rings] = strdup(row->id);
                if (net->rings[net->n_rings])
                        net->n_rings++;
        }
}

static void ask_rings(struct top_net *net) {
        while (net->under_way[CALL_RING] < RINGS_AT_ONCE && net->next_ring < net->n_rings)
                start(net, CALL_RING, net->rings[net->next_ring++]);
}

/* ---- answers ---- */

static void lose(struct top_net *net, const char *error, uint64_t now_us) {
        static const unsigned int wait_s[] = { 1, 2, 4, 8, 10 };
        size_t i = net->failures < ARRAY_SIZE(wait_s) ? net->failures : ARRAY_SIZE(wait_s) - 1;

        net->failures++;
        net->next_us = now_us + wait_s[i] * USEC_PER_SEC;
        net->nodes_us = 0;
        top_model_set_lost(net->model, error, net->next_us);
        free(TAKE_PTR(net->model->node_name)); /* another may come in its place */
}

static void explain(struct top_net *net, CURLcode code, long status, struct json_object *answer,
                uint64_t now_us) {
        const char *message = json_get_string(answer, "error/message");
        char error[160];

        if (code != CURLE_OK) {
                (void) snprintf(error, sizeof(error), "%s: %s",
                                client_why_not(net->cli, (int) code), net->cli->host);
        } else if (status == 401) {
                (void) snprintf(error, sizeof(error), "%s",
                                net->cli->token ? "it does not know that token"
                                                : "it wants a token: --token, --token-file or VIRTWATCH_TOKEN");
        } else if (status != 200) {
                (void) snprintf(error, sizeof(error), "it answers %ld: %s", status,
                                message ? message : "");
        } else {
                (void) snprintf(error, sizeof(error), "its answer is none that it should give");
        }
        lose(net, error, now_us);
}

/* They come back as soon as the workloads do; a stream that ends at once is no reason to hurry. */
static void follow_events(struct top_net *net) {
        if (net->under_way[CALL_STREAM] || net->under_way[CALL_PAGE])
                return;
        start(net, net->has_page ? CALL_STREAM : CALL_PAGE, NULL);
}

static void on_workloads(struct top_net *net, CURLcode code, long status,
                struct json_object *answer, uint64_t now_us) {
        if (code != CURLE_OK || status != 200 ||
                        top_model_set_workloads(net->model, answer, now_us) < 0) {
                explain(net, code, status, answer, now_us);
                return;
        }
        net->failures = 0;
        net->next_us = net->begun_us + TOP_REFRESH_US;
        want_rings(net);
        follow_events(net);
}

static void on_page(struct top_net *net, struct json_object *answer) {
        struct json_object *events = json_get(answer, "events");
        int64_t last = json_get_int(answer, "last_seq", 0);

        if (!json_object_is_type(events, json_type_array))
                return;
        for (size_t i = 0; i < json_object_array_length(events); i++)
                (void) top_model_add_event(net->model, json_object_array_get_idx(events, i));
        (void) snprintf(net->parser.id, sizeof(net->parser.id), "%ju",
                        last > 0 ? (uintmax_t) last : 0);
        net->has_page = true;
        follow_events(net);
}

static void on_version(struct top_net *net, struct json_object *answer) {
        const char *node = json_get_string(answer, "node");
        struct json_object *features = json_get(answer, "features");

        free(net->model->node_name);
        net->model->node_name = node ? strdup(node) : NULL;
        net->model->has_actions = false;
        for (size_t i = 0; i < json_length(features); i++) {
                const char *word = json_object_get_string(json_object_array_get_idx(features, i));

                net->model->has_actions |= word && strcmp(word, "actions") == 0;
        }
}

static void on_action(struct top_net *net, CURLcode code, long status, struct json_object *answer,
                uint64_t now_us) {
        const char *message =
                        json_get_string(answer, status / 100 == 2 ? "message" : "error/message");
        char text[192];

        if (code != CURLE_OK)
                (void) snprintf(text, sizeof(text), "no answer: %s", curl_easy_strerror(code));
        else if (message) {
                (void) snprintf(text, sizeof(text), "%s%s",
                                status / 100 == 2 ? "" : "refused: ", message);
        } else {
                (void) snprintf(text, sizeof(text), "it answers %ld", status);
        }
        top_model_set_outcome(net->model, text, now_us);
        net->next_us = now_us; /* see what it did */
}

static void on_done(struct top_net *net, struct top_call *call, CURLcode code, uint64_t now_us) {
        _cleanup_(json_putp) struct json_object *answer = NULL;
        long status = 0;
        bool good;

        (void) curl_easy_getinfo(call->client.easy, CURLINFO_RESPONSE_CODE, &status);
        if (call->body.size > 0 && code == CURLE_OK)
                (void) json_parse(call->body.data, call->body.size, &answer);
        good = code == CURLE_OK && status == 200;
        net->under_way[call->kind]--;
        if (call->kind == CALL_WORKLOADS) {
                on_workloads(net, code, status, answer, now_us);
        } else if (call->kind == CALL_STREAM) {
                /* The daemon may be gone: look at once. */
                if (net->streamed && net->failures == 0 && now_us >= net->begun_us + AT_ONCE_US)
                        net->next_us = now_us;
        } else if (call->kind == CALL_NODES && status == 404) {
                top_model_refuse_nodes(net->model);
                net->nodes_us = now_us + NODES_AGAIN_US;
        } else if (good && call->kind == CALL_NODES) {
                (void) top_model_set_nodes(net->model, answer);
        } else if (good && call->kind == CALL_RING) {
                (void) top_model_set_history(net->model, call->id, json_get(answer, "samples"));
        } else if (good && call->kind == CALL_PAGE) {
                on_page(net, answer);
        } else if (good && call->kind == CALL_VERSION) {
                on_version(net, answer);
        } else if (call->kind == CALL_ACTION) {
                on_action(net, code, status, answer, now_us);
        }
        call_free(call);
        net->changed = true;
}

/* ---- the whole ---- */

static void refresh(struct top_net *net, uint64_t now_us) {
        net->begun_us = now_us;
        if (net->model->lost)
                top_model_set_lost(net->model, NULL, 0);
        start(net, CALL_WORKLOADS, NULL);
        if (!net->under_way[CALL_WORKLOADS]) {
                lose(net, strerrordesc_np(ENOMEM), now_us);
                return;
        }
        if (net->failures > 0)
                return; /* one question is enough to see whether it is back */
        if (!net->under_way[CALL_NODES] && now_us >= net->nodes_us)
                start(net, CALL_NODES, NULL);
        if (!net->under_way[CALL_VERSION] && !net->model->node_name)
                start(net, CALL_VERSION, NULL);
}

bool top_net_run(struct top_net *net, uint64_t now_us) {
        const struct top_ask *wanted;
        struct top_call *call;
        int running, left;
        CURLMsg *message;

        net->changed = false;
        (void) curl_multi_perform(net->multi, &running);
        while ((message = curl_multi_info_read(net->multi, &left))) {
                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &call);
                on_done(net, call, message->data.result, now_us);
        }
        if (now_us >= net->next_us && !net->under_way[CALL_WORKLOADS]) {
                refresh(net, now_us);
                net->changed = true;
        }
        ask_rings(net);
        if (top_model_take_wanted(net->model, &wanted)) {
                start(net, CALL_ACTION, wanted->id);
                if (!net->under_way[CALL_ACTION])
                        top_model_set_outcome(net->model, "could not be sent", now_us);
                (void) curl_multi_perform(net->multi, &running);
        }
        return net->changed;
}

void top_net_wait(struct top_net *net, struct curl_waitfd *fds, unsigned int n_fds, uint64_t now_us,
                uint64_t until_us) {
        uint64_t wait_us;

        if (!net->under_way[CALL_WORKLOADS] && net->next_us < until_us)
                until_us = net->next_us;
        wait_us = until_us > now_us ? until_us - now_us : 0;
        if (wait_us > USEC_PER_SEC)
                wait_us = USEC_PER_SEC;
        (void) curl_multi_poll(net->multi, fds, n_fds,
                        (int) ((wait_us + USEC_PER_MSEC - 1) / USEC_PER_MSEC), NULL);
}

struct top_net *top_net_free(struct top_net *net) {
        struct top_call *call, *next;

        list_for_each_safe(call, next, &net->calls, list)
                call_free(call);
        forget_rings(net);
        sse_parser_done(&net->parser);
        (void) curl_multi_cleanup(net->multi);
        free(net);
        return NULL;
}

int top_net_new(const struct cli *cli, const char *query, struct top_model *model,
                struct top_net **ret_net) {
        _cleanup_(top_net_freep) struct top_net *net = calloc(1, sizeof(*net));

        if (!net)
                return -ENOMEM;
        list_init(&net->calls);
        net->cli = cli;
        net->query = query;
        net->model = model;
        net->parser = (struct sse_parser) SSE_PARSER_INIT;
        net->multi = curl_multi_init();
        if (!net->multi)
                return -ENOMEM;
        *ret_net = TAKE_PTR(net);
        return 0;
}
