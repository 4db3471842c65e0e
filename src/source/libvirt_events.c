/* The callbacks. They run on libvirt's event thread, use local getters only (an RPC here would wait
 * for the very thread it is on), copy, and return. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "model/domain_event.h"
#include "source/libvirt_link.h"
#include "virtwatch/virtwatch.h"

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

/* @link is held by the registration itself while a callback runs. */
static void post(struct libvirt_link *link, virDomainPtr domain, const struct domain_event *event) {
        struct fact fact = FACT_INIT(FACT_ACTION);
        struct domain_event_meaning meaning;
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (domain_event_meaning(event, &meaning) < 0)
                return;
        if (meaning.quiet || virDomainGetUUIDString(domain, uuid) < 0) {
                libvirt_link_count(link);
                domain_event_meaning_done(&meaning);
                return;
        }

        fact.time_us = clock_realtime_us();
        fact.action = meaning.action;
        fact.severity = meaning.severity;
        fact.message = meaning.message[0] ? meaning.message : NULL;
        fact.details = TAKE_PTR(meaning.details);
        fact.workload.kind = WORKLOAD_VM;
        fact.workload.native_id = uuid;
        fact.workload.uuid = uuid;
        fact.workload.name = virDomainGetName(domain);
        if (meaning.burst > 0)
                libvirt_link_post_repeat(link, &fact, meaning.key, meaning.burst);
        else
                libvirt_link_post(link, &fact);
}

#define POST(link, domain, event_id, ...) \
        post(link, domain, &(const struct domain_event){ .id = (event_id), __VA_ARGS__ })

/* ---- callbacks, by number ---- */

static int on_lifecycle(
                virConnectPtr connection, virDomainPtr domain, int event, int detail, void *link) {
        libvirt_link_post_lifecycle(link, domain, event, detail);
        return 0;
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *link) {
        POST(link, domain, DOMAIN_EVENT_REBOOT);
}

static void on_rtc_change(
                virConnectPtr connection, virDomainPtr domain, long long offset_s, void *link) {
        POST(link, domain, DOMAIN_EVENT_RTC_CHANGE, .numbers = { offset_s });
}

static void on_watchdog(virConnectPtr connection, virDomainPtr domain, int action, void *link) {
        POST(link, domain, DOMAIN_EVENT_WATCHDOG, .numbers = { action });
}

static void on_io_error(virConnectPtr connection, virDomainPtr domain, const char *path,
                const char *alias, int action, void *link) {
        POST(link, domain, DOMAIN_EVENT_IO_ERROR, .texts = { path, alias }, .numbers = { action });
}

static void on_io_error_reason(virConnectPtr connection, virDomainPtr domain, const char *path,
                const char *alias, int action, const char *reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_IO_ERROR_REASON, .texts = { path, alias, reason },
                        .numbers = { action });
}

/* "x509dname=CN=ann, saslUsername=ann" */
static void identity_text(const virDomainEventGraphicsSubject *subject, char *text, size_t size) {
        size_t n = 0;

        text[0] = '\0';
        for (int i = 0; subject && i < subject->nidentity && n < size; i++) {
                n += (size_t) snprintf(text + n, size - n, "%s%s=%s", i > 0 ? ", " : "",
                                subject->identities[i].type ? subject->identities[i].type : "",
                                subject->identities[i].name ? subject->identities[i].name : "");
        }
}

/* NOLINTNEXTLINE(readability-function-size): the signature is libvirt's */
static void on_graphics(virConnectPtr connection, virDomainPtr domain, int phase,
                const virDomainEventGraphicsAddress *local,
                const virDomainEventGraphicsAddress *remote, const char *auth,
                const virDomainEventGraphicsSubject *subject, void *link) {
        char identity[512];

        identity_text(subject, identity, sizeof(identity));
        POST(link, domain, DOMAIN_EVENT_GRAPHICS,
                        .texts = { remote ? remote->node : NULL, remote ? remote->service : NULL,
                                        local ? local->node : NULL, local ? local->service : NULL,
                                        auth, identity },
                        .numbers = { phase, remote ? remote->family : -1 });
}

static void on_control_error(virConnectPtr connection, virDomainPtr domain, void *link) {
        POST(link, domain, DOMAIN_EVENT_CONTROL_ERROR);
}

static void on_block_job(virConnectPtr connection, virDomainPtr domain, const char *path, int type,
                int status, void *link) {
        POST(link, domain, DOMAIN_EVENT_BLOCK_JOB, .texts = { path }, .numbers = { type, status });
}

static void on_disk_change(virConnectPtr connection, virDomainPtr domain, const char *old_path,
                const char *new_path, const char *alias, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_DISK_CHANGE, .texts = { old_path, new_path, alias },
                        .numbers = { reason });
}

static void on_tray_change(virConnectPtr connection, virDomainPtr domain, const char *alias,
                int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_TRAY_CHANGE, .texts = { alias }, .numbers = { reason });
}

static void on_pm_wakeup(virConnectPtr connection, virDomainPtr domain, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_PMWAKEUP, .numbers = { reason });
}

static void on_pm_suspend(virConnectPtr connection, virDomainPtr domain, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_PMSUSPEND, .numbers = { reason });
}

static void on_balloon_change(
                virConnectPtr connection, virDomainPtr domain, unsigned long long kib, void *link) {
        POST(link, domain, DOMAIN_EVENT_BALLOON_CHANGE, .numbers = { (int64_t) kib });
}

static void on_pm_suspend_disk(
                virConnectPtr connection, virDomainPtr domain, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_PMSUSPEND_DISK, .numbers = { reason });
}

static void on_device_removed(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *link) {
        POST(link, domain, DOMAIN_EVENT_DEVICE_REMOVED, .texts = { alias });
}

static void on_block_job_2(virConnectPtr connection, virDomainPtr domain, const char *target,
                int type, int status, void *link) {
        POST(link, domain, DOMAIN_EVENT_BLOCK_JOB_2, .texts = { target },
                        .numbers = { type, status });
}

static void on_tunable(virConnectPtr connection, virDomainPtr domain, virTypedParameterPtr params,
                int n, void *link) {
        POST(link, domain, DOMAIN_EVENT_TUNABLE, .params = libvirt_params_to_json(params, n));
}

static void on_agent_lifecycle(
                virConnectPtr connection, virDomainPtr domain, int state, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_AGENT_LIFECYCLE, .numbers = { state, reason });
}

static void on_device_added(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *link) {
        POST(link, domain, DOMAIN_EVENT_DEVICE_ADDED, .texts = { alias });
}

static void on_migration_iteration(
                virConnectPtr connection, virDomainPtr domain, int iteration, void *link) {
        POST(link, domain, DOMAIN_EVENT_MIGRATION_ITERATION, .numbers = { iteration });
}

static void on_job_completed(virConnectPtr connection, virDomainPtr domain,
                virTypedParameterPtr params, int n, void *link) {
        POST(link, domain, DOMAIN_EVENT_JOB_COMPLETED, .params = libvirt_params_to_json(params, n));
}

static void on_device_removal_failed(
                virConnectPtr connection, virDomainPtr domain, const char *alias, void *link) {
        POST(link, domain, DOMAIN_EVENT_DEVICE_REMOVAL_FAILED, .texts = { alias });
}

static void on_metadata_change(virConnectPtr connection, virDomainPtr domain, int type,
                const char *uri, void *link) {
        char uuid[VIR_UUID_STRING_BUFLEN];

        POST(link, domain, DOMAIN_EVENT_METADATA_CHANGE, .texts = { uri }, .numbers = { type });
        if (type == VIR_DOMAIN_METADATA_ELEMENT && text_equal(uri, VW_METADATA_NAMESPACE) &&
                        virDomainGetUUIDString(domain, uuid) == 0)
                libvirt_link_look(link, uuid, LIBVIRT_LOOK_METADATA);
}

/* A layer's "vda[2]" comes alone; a disk's topmost layer is told twice, as "vda", then "vda[2]". */
static void on_block_threshold(virConnectPtr connection, virDomainPtr domain, const char *disk,
                const char *path, unsigned long long threshold, unsigned long long excess,
                void *userdata) {
        struct libvirt_link *link = userdata;
        char uuid[VIR_UUID_STRING_BUFLEN] = "", what[sizeof(link->threshold)];
        int n = (int) strcspn(disk, "[");
        bool again;

        (void) virDomainGetUUIDString(domain, uuid);
        (void) snprintf(what, sizeof(what), "%s %llu %llu %.*s %.256s", uuid, threshold, excess,
                        n < 64 ? n : 64, disk, path ? path : "");
        again = strchr(disk, '[') && strcmp(what, link->threshold) == 0;
        (void) snprintf(link->threshold, sizeof(link->threshold), "%s", again ? "" : what);
        if (again)
                libvirt_link_count(link);
        else
                POST(link, domain, DOMAIN_EVENT_BLOCK_THRESHOLD, .texts = { disk, path },
                                .numbers = { (int64_t) threshold, (int64_t) excess });
}

static void on_memory_failure(virConnectPtr connection, virDomainPtr domain, int recipient,
                int action, unsigned int flags, void *link) {
        POST(link, domain, DOMAIN_EVENT_MEMORY_FAILURE, .numbers = { recipient, action, flags });
}

static void on_memory_device_size_change(virConnectPtr connection, virDomainPtr domain,
                const char *alias, unsigned long long kib, void *link) {
        POST(link, domain, DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE, .texts = { alias },
                        .numbers = { (int64_t) kib });
}

#if LIBVIR_CHECK_VERSION(11, 2, 0)
static void on_nic_mac_change(virConnectPtr connection, virDomainPtr domain, const char *alias,
                const char *old_mac, const char *new_mac, void *link) {
        POST(link, domain, DOMAIN_EVENT_NIC_MAC_CHANGE, .texts = { alias, old_mac, new_mac });
}
#endif

#if LIBVIR_CHECK_VERSION(12, 4, 0)
static void on_vcpu_removed(
                virConnectPtr connection, virDomainPtr domain, unsigned int vcpu, void *link) {
        POST(link, domain, DOMAIN_EVENT_VCPU_REMOVED, .numbers = { vcpu });
}

static void on_channel_lifecycle(virConnectPtr connection, virDomainPtr domain, const char *channel,
                int state, int reason, void *link) {
        POST(link, domain, DOMAIN_EVENT_CHANNEL_LIFECYCLE, .texts = { channel },
                        .numbers = { state, reason });
}
#endif

/* clang-format off */
#define CALLBACK(id, callback) { VIR_DOMAIN_EVENT_ID_##id, VIR_DOMAIN_EVENT_CALLBACK(callback), -1 }
/* The same event in an older form: only where the newer one cannot be had. */
#define INSTEAD_OF(newer, id, callback) \
        { VIR_DOMAIN_EVENT_ID_##id, VIR_DOMAIN_EVENT_CALLBACK(callback), VIR_DOMAIN_EVENT_ID_##newer }

static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
        int newer;
} callbacks[] = {
        CALLBACK(LIFECYCLE, on_lifecycle),
        CALLBACK(REBOOT, on_reboot),
        CALLBACK(RTC_CHANGE, on_rtc_change),
        CALLBACK(WATCHDOG, on_watchdog),
        CALLBACK(IO_ERROR_REASON, on_io_error_reason),
        INSTEAD_OF(IO_ERROR_REASON, IO_ERROR, on_io_error),
        CALLBACK(GRAPHICS, on_graphics),
        CALLBACK(CONTROL_ERROR, on_control_error),
        CALLBACK(BLOCK_JOB_2, on_block_job_2),
        INSTEAD_OF(BLOCK_JOB_2, BLOCK_JOB, on_block_job),
        CALLBACK(DISK_CHANGE, on_disk_change),
        CALLBACK(TRAY_CHANGE, on_tray_change),
        CALLBACK(PMWAKEUP, on_pm_wakeup),
        CALLBACK(PMSUSPEND, on_pm_suspend),
        CALLBACK(BALLOON_CHANGE, on_balloon_change),
        CALLBACK(PMSUSPEND_DISK, on_pm_suspend_disk),
        CALLBACK(DEVICE_REMOVED, on_device_removed),
        CALLBACK(TUNABLE, on_tunable),
        CALLBACK(AGENT_LIFECYCLE, on_agent_lifecycle),
        CALLBACK(DEVICE_ADDED, on_device_added),
        CALLBACK(MIGRATION_ITERATION, on_migration_iteration),
        CALLBACK(JOB_COMPLETED, on_job_completed),
        CALLBACK(DEVICE_REMOVAL_FAILED, on_device_removal_failed),
        CALLBACK(METADATA_CHANGE, on_metadata_change),
        CALLBACK(BLOCK_THRESHOLD, on_block_threshold),
        CALLBACK(MEMORY_FAILURE, on_memory_failure),
        CALLBACK(MEMORY_DEVICE_SIZE_CHANGE, on_memory_device_size_change),
#if LIBVIR_CHECK_VERSION(11, 2, 0)
        CALLBACK(NIC_MAC_CHANGE, on_nic_mac_change),
#endif
#if LIBVIR_CHECK_VERSION(12, 4, 0)
        CALLBACK(VCPU_REMOVED, on_vcpu_removed),
        CALLBACK(CHANNEL_LIFECYCLE, on_channel_lifecycle),
#endif
};
/* clang-format on */

static void free_reference(void *link) {
        libvirt_link_unref(link);
}

int libvirt_events_register(struct libvirt_link *link, virConnectPtr connection,
                int ids[static LIBVIRT_CALLBACKS_MAX]) {
        _Static_assert(ARRAY_SIZE(callbacks) <= LIBVIRT_CALLBACKS_MAX, "ids has room");
        bool registered[64] = {};
        int n = 0, id;

        for (size_t i = 0; i < ARRAY_SIZE(callbacks); i++) {
                if (callbacks[i].newer >= 0 && registered[callbacks[i].newer])
                        continue;
                id = virConnectDomainEventRegisterAny(connection, NULL, callbacks[i].id,
                                callbacks[i].callback, libvirt_link_ref(link), free_reference);
                if (id >= 0) {
                        ids[n++] = id;
                        registered[callbacks[i].id] = true;
                        continue;
                }
                libvirt_link_unref(link);
                if (callbacks[i].id == VIR_DOMAIN_EVENT_ID_LIFECYCLE)
                        return -ENOTSUP; /* a driver without lifecycle events */
                log_debug("%s does not tell domain events of number %d", link->uri,
                                callbacks[i].id);
        }
        return n;
}
