/* Events that are asked for, of all or of one app, and events that are handed in. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/timeline.h"
#include "model/app.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

#define PAGE_BYTES_MAX (4U << 20)

/* ---- pages ---- */

/* On the bus an event takes about four times its JSON at most: small members are padded. */
#define BUS_SIZE(json_size) (4 * (json_size) + 256)

static int append_event(sd_bus_message *reply, const struct event *event) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ttsssssa{sv}");
        if (r >= 0)
                r = dbus_append_event(reply, event);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* How many of the events go into one page; the others are for the next. */
static size_t page_length(struct event *const *events, size_t n, size_t *ret_size) {
        size_t length = 0, size = 0;

        while (length < n) {
                size_t more = BUS_SIZE(events[length]->json_size);

                if (length > 0 && size + more > PAGE_BYTES_MAX)
                        break;
                size += more;
                length++;
        }
        *ret_size = size;
        return length;
}

static int reply_page(const struct dbus_call *call, struct event *const *events, size_t n) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        size_t size, length = page_length(events, n, &size);
        int r;

        r = dbus_may_reply(call->dbus, NULL, size, &error);
        if (r < 0)
                return dbus_call_reply_error(call, &error);
        r = sd_bus_message_new_method_return(call->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ttsssssa{sv})");
        for (size_t i = 0; r >= 0 && i < length; i++)
                r = append_event(reply, events[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int r;

        if (!call->dbus)
                return; /* the bus it was asked on is gone */
        if (error < 0) {
                log_debug_errno(error, "Cannot read a page of events: %m");
                r = dbus_call_reply_error(call,
                                &SD_BUS_ERROR_MAKE_CONST(
                                                SD_BUS_ERROR_FAILED, "The journal cannot be read"));
        } else {
                r = reply_page(call, events, n);
        }
        if (r < 0)
                log_debug_errno(r, "Cannot answer GetEvents: %m");
}

static int set_filter(struct event_filter *filter, const char *name, const char *value,
                sd_bus_error *error) {
        const struct {
                const char *name;
                char **field;
        } fields[] = { { "kind", &filter->kind }, { "name", &filter->name },
                { "action", &filter->action }, { "slug", &filter->slug },
                { "workload", &filter->workload }, { "severity", &filter->severity } };
        size_t i;

        for (i = 0; i < ARRAY_SIZE(fields) && strcmp(fields[i].name, name) != 0; i++)
                ;
        if (i == ARRAY_SIZE(fields)) {
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "There is no filter '%s'; there are kind, name, action, slug, workload, severity and since",
                                name);
        }
        if (strlen(value) > EVENT_NAME_MAX ||
                        (strcmp(name, "kind") == 0 && event_kind_from_string(value) < 0) ||
                        (strcmp(name, "severity") == 0 && severity_from_string(value) < 0))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "The filter %s has no value '%.64s'", name, value);
        free(*fields[i].field);
        *fields[i].field = strdup(value);
        return *fields[i].field ? 0 : -ENOMEM;
}

static int read_condition(
                sd_bus_message *message, struct event_filter *filter, sd_bus_error *error) {
        const char *name, *value, *type;
        bool since;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        r = sd_bus_message_peek_type(message, NULL, &type);
        if (r < 0)
                return r;
        since = strcmp(name, "since") == 0;
        if (strcmp(type, since ? "t" : "s") != 0) {
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "The filter '%s' is of type %s, not %s", name, since ? "t" : "s",
                                type);
        }
        if (since)
                return sd_bus_message_read(message, "v", "t", &filter->since_us);
        r = sd_bus_message_read(message, "v", "s", &value);
        return r < 0 ? r : set_filter(filter, name, value, error);
}

static int read_filter(sd_bus_message *message, struct event_filter *filter, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = read_condition(message, filter, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_query(sd_bus_message *message, struct journal_query *query, sd_bus_error *error) {
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "tu", &query->after_seq, &limit);
        if (r >= 0)
                r = read_filter(message, &query->filter, error);
        if (r < 0)
                return r;
        if (limit < 1 || limit > VW_EVENTS_PAGE_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "limit is 1 to %d",
                                VW_EVENTS_PAGE_MAX);
        if (query->after_seq > INT64_MAX || query->filter.since_us > INT64_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "No sequence number and no time is that large");
        query->limit = limit;
        return 0;
}

int dbus_read_events(struct dbus *dbus, sd_bus_message *message, const struct journal_query *query,
                sd_bus_error *error) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        int r;

        r = dbus_call_new(dbus, message, error, &call);
        if (r >= 0)
                r = journal_read(dbus->api->journal, query, page_done, call);
        if (r == -EAGAIN)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many reads at once, try again");
        if (r < 0)
                return r;
        call = NULL; /* page_done() has it */
        return 1;
}

int dbus_method_get_events(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct journal_query query = {};
        int r;

        r = read_query(message, &query, error);
        if (r >= 0)
                r = dbus_read_events(userdata, message, &query, error);
        event_filter_done(&query.filter);
        return r;
}

/* ---- AddEvent ---- */

static void event_added(struct event *event, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int r;

        if (!call->dbus)
                return; /* the bus it came from is gone; the event is not */
        r = sd_bus_reply_method_return(call->message, "t", event->seq);
        if (r < 0)
                log_debug_errno(r, "Cannot answer AddEvent: %m");
}

/* The body that POST would have had; through the same checks. */
static int read_body(sd_bus_message *message, struct json_object **ret_body, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *body = json_object_new_object(), *metadata = NULL;
        const char *kind, *severity, *text;
        int r;

        r = sd_bus_message_read(message, "sss", &kind, &severity, &text);
        if (r >= 0)
                r = dbus_read_object(message, TIMELINE_METADATA_MAX, &metadata);
        if (r == -EINVAL || r == -E2BIG) {
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                r == -E2BIG ? "metadata: wants an object of at most 8192 bytes and 31 levels"
                                            : "metadata: wants names that come once, and values that JSON has");
        }
        if (r >= 0)
                r = json_add_string(body, "kind", kind);
        if (r >= 0)
                r = json_add_string(body, "severity", severity);
        if (r >= 0)
                r = json_add_string(body, "message", text);
        if (r >= 0)
                r = json_add(body, "metadata", TAKE_PTR(metadata));
        if (r < 0)
                return r;
        *ret_body = TAKE_PTR(body);
        return 0;
}

static int read_event(sd_bus_message *message, struct event **ret_event, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *body = NULL;
        struct diag diag = {};
        const char *slug;
        int r;

        r = sd_bus_message_read(message, "s", &slug);
        if (r < 0)
                return r;
        if (!app_slug_is_valid(slug))
                return sd_bus_error_set(
                                error, SD_BUS_ERROR_INVALID_ARGS, "slug: wants " APP_SLUG_FORM);
        r = read_body(message, &body, error);
        if (r < 0)
                return r;
        r = timeline_parse(slug, NULL, body, clock_realtime_us(), &diag, ret_event);
        return r == -EINVAL ? sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, diag.text) : r;
}

static int then_add_event(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        struct event *event = NULL;
        int r;

        r = read_event(message, &event, error);
        if (r < 0)
                return r;
        r = dbus_call_new(dbus, message, error, &call);
        if (r >= 0)
                r = dbus->api->post(event, event_added, call, dbus->api->userdata);
        event_unref(event);
        if (r == -ENOSPC)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "The journal takes no more now, try again");
        if (r < 0)
                return r;
        call = NULL; /* event_added() has it */
        return 1;
}

int dbus_method_add_event(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, "org.virtwatch1.add-event", then_add_event, error);
}
