/* The table. What the guest does by itself as often as it likes has a burst. Where libvirt tells
 * one thing by two events, the one with more in it speaks and the other is quiet. */

#include "model/domain_event.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define TEXT_MAX_BYTES 1024

/* A number and what it means: a word of @words, or else "PREFIX-N"; without words, a quantity. */
struct number {
        const char *name;
        const char *const *words;
        size_t n_words;
        const char *prefix;
        uint64_t unit; /* of a quantity: what one is, in the unit of @name; 0: 1 */
};

struct row {
        const char *action;
        enum severity severity;
        unsigned int burst;
        unsigned int free_texts; /* bits: texts that do not tell one from another: they differ
                                  * between repeats, or are long beside a short one that does */
        const char *texts[DOMAIN_EVENT_TEXTS_MAX];
        struct number numbers[DOMAIN_EVENT_NUMBERS_MAX];
        const char *sentence; /* "{member}" stands for that detail */
};

/* clang-format off */
#define LIST(name, ...) static const char *const name[] = { __VA_ARGS__ }
LIST(watchdog_words, "none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi");
LIST(io_error_words, "none", "pause", "report");
LIST(phase_words, "connect", "initialize", "disconnect");
LIST(family_words, "ipv4", "ipv6", "unix");
LIST(job_type_words, "unknown", "pull", "copy", "commit", "active-commit", "backup");
LIST(job_status_words, "completed", "failed", "canceled", "ready");
LIST(disk_change_words, "missing-on-start", "dropped-missing-on-start");
LIST(tray_words, "open", "close");
LIST(pm_words, "unknown");
LIST(link_words, NULL, "connected", "disconnected");
LIST(link_reason_words, "unknown", "domain-started", "channel");
LIST(metadata_words, "description", "title", "element");
LIST(recipient_words, "hypervisor", "guest");
LIST(failure_words, "ignore", "inject", "fatal", "reset");
LIST(operation_words, "unknown", "start", "save", "restore", "migration-in", "migration-out",
        "snapshot", "snapshot-revert", "dump", "backup", "snapshot-delete");

#define WORDS(name, words, prefix) { name, words, ARRAY_SIZE(words), prefix, 0 }
#define QUANTITY(name, unit)       { name, NULL, 0, NULL, unit }

#define BLOCK_JOB(text)                                                                                     \
        { "block-job", SEVERITY_INFO, 0, 0, { text },                                                       \
          { WORDS("job_type", job_type_words, "type"), WORDS("status", job_status_words, "status") },       \
          "Block job {job_type} on {" text "}: {status}" }
#define IO_ERROR                                                                                            \
        { "io-error", SEVERITY_ERROR, 1, 1U << 0, { "path", "disk", "io_error" },                                 \
          { WORDS("io_error_action", io_error_words, "action") },                                           \
          "I/O error on {disk}: {io_error} (action: {io_error_action})" }

static const struct row rows[DOMAIN_EVENT_MAX_] = {
        [DOMAIN_EVENT_REBOOT] = { .action = "rebooted", .burst = 5 },
        [DOMAIN_EVENT_RTC_CHANGE] = { "rtc-changed", SEVERITY_INFO, 1, .numbers = { QUANTITY("offset_s", 1) },
                .sentence = "The guest set its clock" },
        [DOMAIN_EVENT_WATCHDOG] = { "watchdog", SEVERITY_ERROR, 5,
                .numbers = { WORDS("watchdog_action", watchdog_words, "action") },
                .sentence = "Watchdog fired (action: {watchdog_action})" },
        [DOMAIN_EVENT_IO_ERROR] = IO_ERROR,
        [DOMAIN_EVENT_GRAPHICS] = { "graphics-changed", SEVERITY_INFO, 5, 1U << 1 | 1U << 3,
                { "remote", "remote_port", "local", "local_port", "auth", "identity" },
                { WORDS("phase", phase_words, "phase"), WORDS("family", family_words, "family") },
                "Graphics client {remote}: {phase}" },
        [DOMAIN_EVENT_IO_ERROR_REASON] = IO_ERROR,
        [DOMAIN_EVENT_CONTROL_ERROR] = { "control-error", SEVERITY_ERROR, 5,
                .sentence = "libvirt has lost control of the VM" },
        [DOMAIN_EVENT_BLOCK_JOB] = BLOCK_JOB("path"),
        [DOMAIN_EVENT_DISK_CHANGE] = { "disk-changed", SEVERITY_WARNING, 0, 0, { "old_path", "new_path", "disk" },
                { WORDS("change", disk_change_words, "change") }, "Disk {disk}: {change}" },
        [DOMAIN_EVENT_TRAY_CHANGE] = { "tray-changed", SEVERITY_INFO, 5, 0, { "device" },
                { WORDS("tray", tray_words, "tray") }, "Tray of {device}: {tray}" },
        [DOMAIN_EVENT_PMWAKEUP] = { "woken", SEVERITY_INFO, 5, .numbers = { WORDS("reason", pm_words, "reason") } },
        [DOMAIN_EVENT_PMSUSPEND] = { "suspended", SEVERITY_INFO, 5, .numbers = { WORDS("reason", pm_words, "reason") } },
        [DOMAIN_EVENT_BALLOON_CHANGE] = { "balloon-changed", SEVERITY_INFO, 1, .numbers = { QUANTITY("memory_bytes", 1024) },
                .sentence = "Balloon: the guest has {memory_bytes} bytes" },
        [DOMAIN_EVENT_PMSUSPEND_DISK] = { "suspended", SEVERITY_INFO, 5, .numbers = { WORDS("reason", pm_words, "reason") } },
        [DOMAIN_EVENT_DEVICE_REMOVED] = { "device-removed", SEVERITY_INFO, 0, 0, { "device" }, {}, "Device {device} removed" },
        [DOMAIN_EVENT_BLOCK_JOB_2] = BLOCK_JOB("disk"),
        [DOMAIN_EVENT_TUNABLE] = { .action = "tunable-changed" },
        [DOMAIN_EVENT_AGENT_LIFECYCLE] = { "agent-changed", SEVERITY_INFO, 5,
                .numbers = { WORDS("state", link_words, "state"), WORDS("reason", link_reason_words, "reason") },
                .sentence = "Guest agent {state}" },
        [DOMAIN_EVENT_DEVICE_ADDED] = { "device-added", SEVERITY_INFO, 0, 0, { "device" }, {}, "Device {device} added" },
        [DOMAIN_EVENT_MIGRATION_ITERATION] = { "migration-iteration", SEVERITY_INFO, 1,
                .numbers = { QUANTITY("iteration", 1) }, .sentence = "Memory is copied, pass {iteration}" },
        [DOMAIN_EVENT_JOB_COMPLETED] = { .action = "job-completed" },
        [DOMAIN_EVENT_DEVICE_REMOVAL_FAILED] = { "device-removal-failed", SEVERITY_WARNING, 5, 0, { "device" }, {},
                "The guest did not let go of device {device}" },
        [DOMAIN_EVENT_METADATA_CHANGE] = { "metadata-changed", SEVERITY_INFO, 0, 0, { "namespace" },
                { WORDS("metadata", metadata_words, "type") }, "Metadata changed: {metadata}" },
        [DOMAIN_EVENT_BLOCK_THRESHOLD] = { "block-threshold", SEVERITY_WARNING, 5, 1U << 1, { "disk", "path" },
                { QUANTITY("threshold_bytes", 1), QUANTITY("excess_bytes", 1) },
                "Disk {disk} was written beyond {threshold_bytes} bytes" },
        [DOMAIN_EVENT_MEMORY_FAILURE] = { "memory-failure", SEVERITY_ERROR, 5,
                .numbers = { WORDS("recipient", recipient_words, "recipient"), WORDS("failure_action", failure_words, "action") },
                .sentence = "Hardware memory error in memory of the {recipient} (action: {failure_action})" },
        [DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE] = { "memory-device-resized", SEVERITY_INFO, 1, 0, { "device" },
                { QUANTITY("memory_bytes", 1024) }, "Memory device {device} has {memory_bytes} bytes" },
        [DOMAIN_EVENT_NIC_MAC_CHANGE] = { "mac-changed", SEVERITY_INFO, 5, 1U << 1 | 1U << 2,
                { "device", "old_mac", "new_mac" }, {}, "The guest set the address of {device} to {new_mac}" },
        [DOMAIN_EVENT_VCPU_REMOVED] = { "vcpu-removed", SEVERITY_INFO, 5, .numbers = { QUANTITY("vcpu", 1) },
                .sentence = "CPU {vcpu} removed" },
        [DOMAIN_EVENT_CHANNEL_LIFECYCLE] = { "channel-changed", SEVERITY_INFO, 5, 0, { "channel" },
                { WORDS("state", link_words, "state"), WORDS("reason", link_reason_words, "reason") },
                "Channel {channel} {state}" },
};
/* clang-format on */

static int add_clean(struct json_object *details, const char *name, const char *text) {
        _cleanup_(freep) char *clean = NULL;
        int r;

        if (!text || !text[0])
                return 0;
        r = text_sanitize(text, strlen(text), TEXT_MAX_BYTES, &clean);
        return r < 0 ? r : json_add_string(details, name, clean);
}

static const char *word_of(const struct number *number, int64_t value, char text[static 32]) {
        if (value >= 0 && (uint64_t) value < number->n_words && number->words[value])
                return number->words[value];
        (void) snprintf(text, 32, "%s-%lld", number->prefix, (long long) value);
        return text;
}

const char *domain_event_operation_word(int64_t operation, char text[static 32]) {
        const struct number number = WORDS("", operation_words, "operation");

        return word_of(&number, operation, text);
}

static int add_details(const struct row *row, const struct domain_event *event,
                struct json_object *details) {
        char text[32];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < DOMAIN_EVENT_TEXTS_MAX && row->texts[i]; i++)
                r = add_clean(details, row->texts[i], event->texts[i]);
        for (size_t i = 0; r >= 0 && i < DOMAIN_EVENT_NUMBERS_MAX && row->numbers[i].name; i++) {
                const struct number *number = &row->numbers[i];
                int64_t value = event->numbers[i];

                if (number->words)
                        r = json_add_string(details, number->name, word_of(number, value, text));
                else if (number->unit == 1)
                        r = json_add_int(details, number->name, value);
                else
                        r = json_add_uint(details, number->name, (uint64_t) value * number->unit);
        }
        return r;
}

/* Action, texts and words; quantities differ from one repeat to the next. */
static void make_key(const struct row *row, const struct domain_event *event, const char *action,
                char *key, size_t size) {
        size_t n = 0;

        n += (size_t) snprintf(key, size, "%s", action);
        for (size_t i = 0; i < DOMAIN_EVENT_TEXTS_MAX && row->texts[i] && n < size; i++) {
                if (!(row->free_texts & 1U << i))
                        n += (size_t) snprintf(key + n, size - n, " %s",
                                        event->texts[i] ? event->texts[i] : "");
        }
        for (size_t i = 0; i < DOMAIN_EVENT_NUMBERS_MAX && row->numbers[i].words && n < size; i++)
                n += (size_t) snprintf(key + n, size - n, " %lld", (long long) event->numbers[i]);
}

/* Cut at @size, also inside a character: event_new() cleans what is left. */
static void make_sentence(
                const char *pattern, struct json_object *details, char *message, size_t size) {
        const char *open, *shut, *text;
        char name[32];
        size_t n = 0;

        message[0] = '\0';
        while (n < size && (open = strchr(pattern, '{')) && (shut = strchr(open, '}'))) {
                struct json_object *value;

                assert((size_t) (shut - open) <= sizeof(name));
                memcpy(name, open + 1, (size_t) (shut - open) - 1);
                name[shut - open - 1] = '\0';
                value = json_get(details, name);
                text = value ? json_object_get_string(value) : "?";
                n += (size_t) snprintf(message + n, size - n, "%.*s%s", (int) (open - pattern),
                                pattern, text);
                pattern = shut + 1;
        }
        if (n < size)
                (void) snprintf(message + n, size - n, "%s", pattern);
}

/* ---- what the table cannot say ---- */

static void of_link(const struct domain_event *event, const char *connected,
                const char *disconnected, struct domain_event_meaning *meaning) {
        enum {
                CONNECTED = 1,
                DISCONNECTED = 2,
                DOMAIN_STARTED = 1
        };

        if (event->numbers[0] == CONNECTED)
                meaning->action = connected;
        else if (event->numbers[0] == DISCONNECTED)
                meaning->action = disconnected;
        /* At its start a VM's agent is not there yet: that is no news. */
        meaning->quiet = event->numbers[0] == DISCONNECTED && event->numbers[1] == DOMAIN_STARTED;
}

static int of_memory_failure(
                const struct domain_event *event, struct domain_event_meaning *meaning) {
        uint64_t flags = (uint64_t) event->numbers[2];
        int r;

        r = json_add_bool(meaning->details, "action_required", flags & 1U << 0);
        if (r >= 0)
                r = json_add_bool(meaning->details, "recursive", flags & 1U << 1);
        if (r >= 0 && flags >> 2)
                r = json_add_uint(meaning->details, "flags", flags);
        return r;
}

static int of_job(const struct domain_event *event, struct domain_event_meaning *meaning) {
        const char *operation;
        bool success;
        char text[32];
        int r;

        operation = domain_event_operation_word(json_get_int(event->params, "operation", 0), text);
        success = json_get_bool(event->params, "success", true);
        if (!success)
                meaning->severity = SEVERITY_ERROR;
        (void) snprintf(meaning->message, sizeof(meaning->message), "Job %s %s", operation,
                        success ? "completed" : "failed");
        r = json_add_string(meaning->details, "operation", operation);
        if (r >= 0)
                r = json_add_bool(meaning->details, "success", success);
        if (r >= 0)
                r = json_add(meaning->details, "job", json_object_get(event->params));
        return r;
}

static int refine(const struct domain_event *event, struct domain_event_meaning *meaning) {
        static const char *const phases[] = { "graphics-connected", "graphics-initialized",
                "graphics-disconnected" };
        int64_t first = event->numbers[0];

        switch (event->id) {
        case DOMAIN_EVENT_WATCHDOG:
                if (first == 0 || first == 5)
                        meaning->severity = SEVERITY_WARNING; /* none, debug: nothing was done */
                break;
        case DOMAIN_EVENT_IO_ERROR:
        case DOMAIN_EVENT_IO_ERROR_REASON:
                if (!json_get(meaning->details, "io_error"))
                        return json_add_string(meaning->details, "io_error", "error");
                break;
        case DOMAIN_EVENT_GRAPHICS:
                if (first >= 0 && (size_t) first < ARRAY_SIZE(phases))
                        meaning->action = phases[first];
                break;
        case DOMAIN_EVENT_BLOCK_JOB:
        case DOMAIN_EVENT_BLOCK_JOB_2:
                if (event->numbers[1] == 1)
                        meaning->severity = SEVERITY_ERROR;
                break;
        case DOMAIN_EVENT_TRAY_CHANGE:
                if (first == 0 || first == 1)
                        meaning->action = first == 0 ? "tray-opened" : "tray-closed";
                break;
        case DOMAIN_EVENT_PMWAKEUP:
        case DOMAIN_EVENT_PMSUSPEND:
        case DOMAIN_EVENT_PMSUSPEND_DISK:
                meaning->quiet = first == 0; /* lifecycle tells it */
                break;
        case DOMAIN_EVENT_TUNABLE:
                return json_add(meaning->details, "tunables", json_object_get(event->params));
        case DOMAIN_EVENT_AGENT_LIFECYCLE:
                of_link(event, "agent-connected", "agent-disconnected", meaning);
                break;
        case DOMAIN_EVENT_CHANNEL_LIFECYCLE:
                of_link(event, "channel-connected", "channel-disconnected", meaning);
                if (text_equal(event->texts[0], "org.qemu.guest_agent.0"))
                        meaning->quiet = true; /* agent-lifecycle tells it */
                break;
        case DOMAIN_EVENT_JOB_COMPLETED:
                return of_job(event, meaning);
        case DOMAIN_EVENT_MEMORY_FAILURE:
                return of_memory_failure(event, meaning);
        default:
                break;
        }
        return 0;
}

static int make_meaning(
                const struct domain_event *event, struct domain_event_meaning *ret_meaning) {
        static const struct row unknown = { "domain-event", SEVERITY_INFO, 5,
                .numbers = { QUANTITY("first", 1), QUANTITY("second", 1), QUANTITY("third", 1) } };
        const struct row *row = &unknown;
        struct domain_event_meaning meaning = {};
        int r;

        if (event->id > 0 && event->id < DOMAIN_EVENT_MAX_)
                row = &rows[event->id];
        meaning.action = row->action;
        meaning.severity = row->severity;
        meaning.burst = row->burst;
        meaning.details = json_object_new_object();
        if (!meaning.details)
                return -ENOMEM;

        r = add_details(row, event, meaning.details);
        if (r >= 0 && row == &unknown)
                r = json_add_int(meaning.details, "event", event->id);
        if (r >= 0)
                r = refine(event, &meaning);
        if (r < 0) {
                domain_event_meaning_done(&meaning);
                return r;
        }
        if (row->sentence)
                make_sentence(row->sentence, meaning.details, meaning.message,
                                sizeof(meaning.message));
        make_key(row, event, meaning.action, meaning.key, sizeof(meaning.key));
        *ret_meaning = meaning;
        return 0;
}

int domain_event_meaning(
                const struct domain_event *event, struct domain_event_meaning *ret_meaning) {
        int r;

        r = make_meaning(event, ret_meaning);
        (void) json_object_put(event->params); /* the details hold another reference */
        return r;
}

void domain_event_meaning_done(struct domain_event_meaning *meaning) {
        (void) json_object_put(TAKE_PTR(meaning->details));
}
