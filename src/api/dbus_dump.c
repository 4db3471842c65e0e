/* The whole state in one text: Describe() for programs, as JSON; Dump() for people, who send it
 * with a report of what went wrong. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/view.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "store/journal.h"

#define TEXT_BYTES_MAX (24U << 20)

/* Before the text is made: it takes time, too. */
static int may_ask(struct dbus *dbus, sd_bus_message *message, sd_bus_error *error) {
        struct workload *workload;
        size_t size = 1024;

        inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) size +=
                        dbus_workload_size(workload, true);
        return dbus_may_reply(dbus, message, size, error);
}

/* Labels come on top of what was asked for. */
static int reply_buf(sd_bus_message *message, struct dbus *dbus, const struct buf *buf,
                sd_bus_error *error) {
        int r;

        r = dbus_may_reply(dbus, message, buf->size, error);
        return r < 0 ? r : dbus_reply_text(message, buf->data);
}

/* ---- Describe ---- */

static int append_json(struct buf *buf, struct json_object *object) {
        const char *text = object ? json_text(object) : NULL;

        return text ? buf_append_str(buf, text) : -ENOMEM;
}

/* One workload at a time: all of them as objects would take many times the text. */
static int append_workloads(struct buf *buf, const struct api_context *api) {
        const char *comma = "";
        struct workload *workload;
        int r = 0;

        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                _cleanup_(json_putp) struct json_object *object =
                                view_workload(api, workload, false);

                r = buf_append_str(buf, comma);
                if (r >= 0)
                        r = append_json(buf, object);
                if (r < 0)
                        return r;
                comma = ",";
        }
        return r;
}

int dbus_method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *head = json_object_new_object();
        _cleanup_(buf_done) struct buf buf = BUF_INIT(TEXT_BYTES_MAX);
        const struct api_context *api = DBUS_API(userdata);
        int r;

        r = may_ask(userdata, message, error);
        if (r < 0)
                return r;
        (void) json_add_string(head, "version", VIRTWATCH_VERSION);
        (void) json_add_string(head, "node", api->node_name);
        (void) json_add_uint(head, "last_seq", journal_last_seq(api->journal));
        r = append_json(&buf, head);
        if (r >= 0) {
                buf.size--; /* its closing brace comes behind the workloads */
                r = buf_append_str(&buf, ",\"workloads\":[");
        }
        if (r >= 0)
                r = append_workloads(&buf, api);
        if (r >= 0)
                r = buf_append_str(&buf, "]}");
        if (r == -ENOSPC)
                return dbus_may_reply(userdata, message, SIZE_MAX, error);
        return r < 0 ? r : reply_buf(message, userdata, &buf, error);
}

/* ---- Dump ---- */

/* A name may hold anything: on one line it stays. */
static int dump_text(struct buf *buf, const char *text) {
        _cleanup_(freep) char *escaped = text_escape_terminal(text);

        return escaped ? buf_append_str(buf, escaped) : -ENOMEM;
}

static int dump_head(struct buf *buf, const struct dbus *dbus) {
        const struct api_context *api = dbus->api;
        uint64_t now_us = clock_monotonic_us();
        int r;

        r = buf_append_str(buf, "virtwatchd " VIRTWATCH_VERSION " on ");
        if (r >= 0)
                r = dump_text(buf, api->node_name);
        if (r >= 0) {
                r = buf_printf(buf,
                                "\nup %ju s, last beat %ju ms ago, %u of what is required not ready\n",
                                (uintmax_t) ((now_us - api->started_us) / USEC_PER_SEC),
                                (uintmax_t) ((now_us - api->heartbeat_us) / USEC_PER_MSEC),
                                api_not_ready(api));
        }
        if (r >= 0)
                r = buf_printf(buf, "D-Bus: %zu subscribers, %zu calls wait for their answer\n",
                                dbus->n_subscribers, dbus->n_calls);
        return r;
}

static int dump_flow(struct buf *buf, const struct api_context *api) {
        struct tracker_stats tracker;
        struct journal_stats journal;
        int r;

        tracker_get_stats(api->tracker, &tracker);
        journal_get_stats(api->journal, &journal);
        r = buf_printf(buf,
                        "tracker: %ju facts, %ju events, %ju duplicates, %ju OOM kills of nobody known, %ju workloads refused\n",
                        (uintmax_t) tracker.facts, (uintmax_t) tracker.events,
                        (uintmax_t) tracker.duplicates, (uintmax_t) tracker.unattributed_oom,
                        (uintmax_t) tracker.refused);
        if (r >= 0) {
                r = buf_printf(buf,
                                "journal: events %ju to %ju, %ju appended, %ju committed, %ju dropped, %ju queued, %ju write errors, %ju bytes%s\n",
                                (uintmax_t) journal_first_seq(api->journal),
                                (uintmax_t) journal_last_seq(api->journal),
                                (uintmax_t) journal.appended, (uintmax_t) journal.committed,
                                (uintmax_t) journal.dropped, (uintmax_t) journal.queued,
                                (uintmax_t) journal.write_errors, (uintmax_t) journal.bytes,
                                journal.failing ? ", FAILING" : "");
        }
        if (r >= 0) {
                r = buf_printf(buf, "feed: events %ju to %ju in memory, %zu readers\n",
                                (uintmax_t) feed_first_seq(api->feed),
                                (uintmax_t) feed_last_seq(api->feed), feed_reader_count(api->feed));
        }
        return r;
}

static int dump_source(struct buf *buf, const struct api_context *api,
                const struct tracker_source *source) {
        struct api_source_stats stats = {};
        char since[CLOCK_RFC3339_MAX];
        int r;

        (void) api->source_stats(source->name, &stats, api->userdata);
        r = buf_append_str(buf, "source ");
        if (r >= 0)
                r = dump_text(buf, source->name);
        if (r >= 0) {
                r = buf_printf(buf,
                                ": %s since %s%s, %ju raw events, %ju malformed, %ju dropped, %ju reconnects",
                                source_state_to_string(source->state),
                                clock_format_rfc3339(source->since_us, since),
                                source->required ? ", required" : "", (uintmax_t) stats.raw_events,
                                (uintmax_t) stats.malformed, (uintmax_t) stats.dropped,
                                (uintmax_t) stats.reconnects);
        }
        if (r >= 0 && source->error[0])
                r = buf_append_str(buf, "; ");
        if (r >= 0)
                r = dump_text(buf, source->error);
        return r < 0 ? r : buf_append_str(buf, "\n");
}

static int dump_workload(struct buf *buf, const struct workload *workload) {
        char since[CLOCK_RFC3339_MAX];
        int r;

        r = buf_printf(buf, "%s ", workload_kind_to_string(workload->kind));
        if (r >= 0)
                r = dump_text(buf, workload->id);
        if (r >= 0)
                r = buf_append_str(buf, " ");
        if (r >= 0)
                r = dump_text(buf, workload->name);
        if (r >= 0) {
                r = buf_printf(buf, ": %s since %s, pid %u, %jd restarts, %ju OOM kills",
                                workload_state_to_string(workload->state),
                                clock_format_rfc3339(workload->since_us, since), workload->pid,
                                (intmax_t) workload->restarts, (uintmax_t) workload->oom_kills);
        }
        if (r >= 0 && workload->last_exit.action[0]) {
                r = buf_printf(buf, ", last exit %s %d (%s, %s by %s)", workload->last_exit.action,
                                workload->last_exit.code, workload->last_exit.reason,
                                workload->last_exit.confidence, workload->last_exit.evidence);
        }
        return r < 0 ? r : buf_append_str(buf, "\n");
}

int dbus_method_dump(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(TEXT_BYTES_MAX);
        const struct api_context *api = DBUS_API(userdata);
        struct tracker_source *source;
        struct workload *workload;
        int r;

        r = may_ask(userdata, message, error);
        if (r >= 0)
                r = dump_head(&buf, userdata);
        if (r >= 0)
                r = dump_flow(&buf, api);
        list_for_each(source, tracker_sources(api->tracker), list) {
                if (r >= 0)
                        r = dump_source(&buf, api, source);
        }
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                if (r >= 0)
                        r = dump_workload(&buf, workload);
        }
        if (r == -ENOSPC)
                return dbus_may_reply(userdata, message, SIZE_MAX, error);
        return r < 0 ? r : reply_buf(message, userdata, &buf, error);
}
