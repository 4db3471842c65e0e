/* The callbacks. They run on libvirt's event thread, use local getters only (an RPC here would wait
 * for the very thread it is on), copy, and return. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "model/lifecycle.h"
#include "source/libvirt_link.h"

static void *event_main(void *userdata) {
        while (virEventRunDefaultImpl() >= 0)
                ;
        return NULL;
}

static void on_tick(int timer, void *userdata) {
        /* Only there so that the loop has something to wait for before the first connection. */
}

static void start_once(void) {
        pthread_t thread;

        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
                        virEventAddTimeout(1000, on_tick, NULL, NULL) < 0)
                return;
        if (pthread_create(&thread, NULL, event_main, NULL) == 0)
                (void) pthread_detach(thread); /* libvirt wants its loop to run until the last
                                                  connection has closed */
}

int libvirt_events_start(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT; /* libvirt's event loop is one a process */

        return -pthread_once(&once, start_once);
}

/* ---- one fact ---- */

static void post_action(struct libvirt_link *link, virDomainPtr domain, const char *action,
                enum severity severity, struct json_object *details) {
        struct fact fact = FACT_INIT(FACT_ACTION);
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (virDomainGetUUIDString(domain, uuid) < 0)
                return;
        fact.time_us = clock_realtime_us();
        fact.action = action;
        fact.severity = severity;
        fact.details = details;
        fact.workload.kind = WORKLOAD_VM;
        fact.workload.native_id = uuid;
        fact.workload.uuid = uuid;
        fact.workload.name = virDomainGetName(domain);
        libvirt_link_post(link, &fact);
}

static struct json_object *detail(const char *name, const char *value) {
        struct json_object *object = json_object_new_object();

        if (object && value)
                (void) json_add_string(object, name, value);
        return object;
}

static void post_details(struct libvirt_link *link, virDomainPtr domain, const char *action,
                enum severity severity, struct json_object *details) {
        struct libvirt_link *held = libvirt_link_ref(link);

        post_action(held, domain, action, severity, details);
        libvirt_link_unref(held);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail_,
                void *userdata) {
        libvirt_link_post_lifecycle(userdata, domain, event, detail_);
        return 0;
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *userdata) {
        post_details(userdata, domain, "rebooted", SEVERITY_INFO, NULL);
}

static void on_control_error(virConnectPtr connection, virDomainPtr domain, void *userdata) {
        post_details(userdata, domain, "control-error", SEVERITY_ERROR, NULL);
}

static void on_watchdog(virConnectPtr connection, virDomainPtr domain, int action, void *userdata) {
        char text[32];

        post_details(userdata, domain, "watchdog", SEVERITY_ERROR,
                        detail("watchdog_action", lifecycle_watchdog_word(action, text)));
}

static void on_io_error(virConnectPtr connection, virDomainPtr domain, const char *path,
                const char *alias, int action, const char *reason, void *userdata) {
        struct json_object *details = detail("disk", alias);
        char text[32];

        if (details) {
                (void) json_add_string(details, "io_error", reason && reason[0] ? reason : "error");
                (void) json_add_string(
                                details, "io_error_action", lifecycle_io_error_word(action, text));
        }
        post_details(userdata, domain, "io-error", SEVERITY_ERROR, details);
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason,
                void *userdata) {
        post_details(userdata, domain,
                        state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
                                        ? "agent-connected"
                                        : "agent-disconnected",
                        SEVERITY_INFO, NULL);
}

static void on_device_added(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *userdata) {
        post_details(userdata, domain, "device-added", SEVERITY_INFO, detail("device", alias));
}

static void on_device_removed(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *userdata) {
        post_details(userdata, domain, "device-removed", SEVERITY_INFO, detail("device", alias));
}

static void on_removal_failed(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *userdata) {
        post_details(userdata, domain, "device-removal-failed", SEVERITY_WARNING,
                        detail("device", alias));
}

static void on_block_job(virConnectPtr connection, virDomainPtr domain, const char *disk, int type,
                int status, void *userdata) {
        static const char *const words[] = { "completed", "failed", "canceled", "ready" };
        struct json_object *details = detail("disk", disk);

        if (details)
                (void) json_add_string(details, "status",
                                status >= 0 && (size_t) status < ARRAY_SIZE(words) ? words[status]
                                                                                   : "unknown");
        post_details(userdata, domain, "block-job", status == 1 ? SEVERITY_ERROR : SEVERITY_INFO,
                        details);
}

static void on_block_threshold(virConnectPtr connection, virDomainPtr domain, const char *device,
                const char *path, unsigned long long threshold, unsigned long long excess,
                void *userdata) {
        struct json_object *details;

        if (device && strchr(device, '['))
                return; /* told twice: "vda" and "vda[2]" */
        details = detail("disk", device);
        if (details)
                (void) json_add_uint(details, "threshold_bytes", threshold);
        post_details(userdata, domain, "block-threshold", SEVERITY_WARNING, details);
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                void *userdata) {
        post_details(userdata, domain, "metadata-changed", SEVERITY_INFO, detail("namespace", uri));
}

static void on_tray(virConnectPtr connection, virDomainPtr domain, const char *alias, int reason,
                void *userdata) {
        post_details(userdata, domain, reason == 0 ? "tray-opened" : "tray-closed", SEVERITY_INFO,
                        detail("device", alias));
}

static void on_job_completed(virConnectPtr connection, virDomainPtr domain,
                virTypedParameterPtr params, int n, void *userdata) {
        post_details(userdata, domain, "job-completed", SEVERITY_INFO, NULL);
}

static void on_balloon(virConnectPtr connection, virDomainPtr domain, unsigned long long kib,
                void *userdata) {
        struct json_object *details = json_object_new_object();

        if (details)
                (void) json_add_uint(details, "memory_bytes", kib * 1024);
        post_details(userdata, domain, "balloon-changed", SEVERITY_INFO, details);
}

static void on_memory_failure(virConnectPtr connection, virDomainPtr domain, int recipient,
                int action, unsigned int flags, void *userdata) {
        static const char *const actions[] = { "ignore", "inject", "fatal", "reset" };

        post_details(userdata, domain, "memory-failure", SEVERITY_ERROR,
                        detail("failure_action",
                                        action >= 0 && (size_t) action < ARRAY_SIZE(actions)
                                                        ? actions[action]
                                                        : "unknown"));
}

/* clang-format off */
static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
} callbacks[] = {
        { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
        { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
        { VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_CALLBACK(on_watchdog) },
        { VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, VIR_DOMAIN_EVENT_CALLBACK(on_io_error) },
        { VIR_DOMAIN_EVENT_ID_CONTROL_ERROR, VIR_DOMAIN_EVENT_CALLBACK(on_control_error) },
        { VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_tray) },
        { VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed) },
        { VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job) },
        { VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added) },
        { VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed) },
        { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
        { VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, VIR_DOMAIN_EVENT_CALLBACK(on_block_threshold) },
        { VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE, VIR_DOMAIN_EVENT_CALLBACK(on_memory_failure) },
};
/* clang-format on */

static void free_reference(void *link) {
        libvirt_link_unref(link);
}

int libvirt_events_register(struct libvirt_link *link, virConnectPtr connection,
                int ids[static LIBVIRT_CALLBACKS_MAX]) {
        _Static_assert(ARRAY_SIZE(callbacks) <= LIBVIRT_CALLBACKS_MAX, "ids has room");
        int n = 0, id;

        for (size_t i = 0; i < ARRAY_SIZE(callbacks); i++) {
                id = virConnectDomainEventRegisterAny(connection, NULL, callbacks[i].id,
                                callbacks[i].callback, libvirt_link_ref(link), free_reference);
                if (id >= 0)
                        ids[n++] = id;
                else
                        libvirt_link_unref(link);
                if (id < 0 && i == 0)
                        return -ENOTSUP; /* a driver without lifecycle events; the others may be
                                            missing */
        }
        return n;
}
