/* The calls thread: open, register, list, look up; wait for the end; again. Register comes before
 * list, so that nothing falls between. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"
#include "model/lifecycle.h"
#include "source/libvirt_app.h"
#include "source/libvirt_link.h"
#include "source/proc.h"

#define KEEPALIVE_S     5
#define KEEPALIVE_COUNT 5
#define CMDLINE_MAX     (256 * 1024)
/* A domain that has an event each time it is asked is followed by its events. */
#define TRIES_MAX 8
#define WHY_MAX   256

static void post_state(struct libvirt_link *link, enum source_state state, const char *error) {
        struct fact fact = FACT_INIT(FACT_SOURCE);

        fact.source_state = state;
        fact.error = error;
        fact.time_us = clock_realtime_us();
        libvirt_link_post(link, &fact);
}

static void post_mark(struct libvirt_link *link, enum fact_type type) {
        struct fact fact = FACT_INIT(FACT_LISTING_BEGIN);

        fact.type = type;
        fact.time_us = clock_realtime_us();
        libvirt_link_post(link, &fact);
}

/* ---- the domain's process ---- */

static bool cmdline_has_uuid(const char *cmdline, size_t size, const char *uuid) {
        for (const char *arg = cmdline; arg < cmdline + size; arg += strlen(arg) + 1)
                if (strcmp(arg, "-uuid") == 0)
                        return arg + 6 < cmdline + size && strcmp(arg + 6, uuid) == 0;
        return false;
}

static bool is_domain_process(const char *pid, const char *uuid) {
        _cleanup_(freep) char *comm = NULL, *cmdline = NULL;
        char path[64];
        size_t size;

        (void) snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
        if (fs_read_text(AT_FDCWD, path, 64, &comm, NULL) < 0 ||
                        (!text_starts_with(comm, "qemu") && !text_starts_with(comm, "kvm")))
                return false;
        (void) snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
        return fs_read_text(AT_FDCWD, path, CMDLINE_MAX, &cmdline, &size) >= 0 &&
                        cmdline_has_uuid(cmdline, size, uuid);
}

static uint32_t find_process(const char *uuid) {
        struct dirent *entry;
        uint64_t pid = 0;
        DIR *proc;

        proc = opendir("/proc");
        if (!proc)
                return 0;
        while (!pid && (entry = readdir(proc))) {
                if (isdigit((unsigned char) entry->d_name[0]) &&
                                is_domain_process(entry->d_name, uuid))
                        (void) text_to_u64(entry->d_name, &pid);
        }
        (void) closedir(proc);
        return (uint32_t) pid;
}

static void fill_process(struct workload_info *info, char *cgroup, size_t size) {
        info->pid = find_process(info->native_id);
        if (info->pid && proc_memory_cgroup(info->pid, cgroup, size) >= 0)
                info->cgroup = cgroup;
}

/* ---- the container's processes ---- */

/* Is @pid libvirt_lxc, here, for the domain of that name? */
static bool is_controller(uint32_t pid, const char *name) {
        _cleanup_(freep) char *comm = NULL, *cmdline = NULL;
        char path[64];
        size_t size;

        (void) snprintf(path, sizeof(path), "/proc/%u/comm", pid);
        if (fs_read_text(AT_FDCWD, path, 64, &comm, NULL) < 0 ||
                        !text_starts_with(comm, "libvirt_lxc"))
                return false;
        (void) snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
        if (fs_read_text(AT_FDCWD, path, CMDLINE_MAX, &cmdline, &size) < 0)
                return false;
        for (const char *arg = cmdline; arg < cmdline + size; arg += strlen(arg) + 1)
                if (strcmp(arg, "--name") == 0)
                        return arg + 7 < cmdline + size && strcmp(arg + 7, name) == 0;
        return false;
}

/* The first of a PID namespace, as the last number of its NSpid says (proc(5)). */
static bool is_init(uint32_t pid) {
        _cleanup_(freep) char *text = NULL;
        const char *line, *end;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%u/status", pid);
        if (fs_read_text(AT_FDCWD, path, 64 * 1024, &text, NULL) < 0)
                return false;
        line = strstr(text, "\nNSpid:");
        end = line ? strchr(line + 1, '\n') : NULL;
        return end && end[-1] == '1' && end[-2] == '\t';
}

/* A domain of LXC has its controller's PID as its id; the container's init is a child of that, in
 * the same control group unless it makes more below it. */
static void fill_container(struct workload_info *info, char *cgroup, size_t size) {
        const uint32_t controller = (uint32_t) info->domain_id;
        _cleanup_(freep) char *text = NULL;
        char path[64], *word, *rest;
        uint64_t pid;

        if (!is_controller(controller, info->name))
                return;
        if (proc_memory_cgroup(controller, cgroup, size) >= 0)
                info->cgroup = cgroup;
        (void) snprintf(path, sizeof(path), "/proc/%u/task/%u/children", controller, controller);
        if (fs_read_text(AT_FDCWD, path, 4096, &text, NULL) < 0)
                return;
        for (word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
                if (text_to_u64(word, &pid) < 0 || !is_init((uint32_t) pid))
                        continue;
                info->pid = (uint32_t) pid;
                return;
        }
}

/* ---- listing ---- */

/* Return: 1 it has been told; 0 not, as events have told something newer; negative: its state
 * cannot be had, for which there is an error of libvirt's. */
static int try_domain(
                struct libvirt_link *link, virDomainPtr domain, const char *type, bool quiet) {
        uint64_t n_lifecycle = libvirt_link_lifecycle(link);
        struct fact fact = FACT_INIT(FACT_WORKLOAD);
        struct workload_info *info = &fact.workload;
        char uuid[VIR_UUID_STRING_BUFLEN], reason_text[32], cgroup[1024];
        int state = 0, reason = 0;

        fact.time_us = clock_realtime_us(); /* what happens from now on is newer */
        if (virDomainGetUUIDString(domain, uuid) < 0 ||
                        virDomainGetState(domain, &state, &reason, 0) < 0)
                return -EIO;
        fact.quiet = quiet;
        info->kind = WORKLOAD_VM;
        info->native_id = uuid;
        info->uuid = uuid;
        info->name = virDomainGetName(domain);
        info->runtime = type;
        info->uri = link->uri;
        info->state = lifecycle_state(state);
        info->state_reason = lifecycle_state_reason_word(state, reason, reason_text);
        info->how = lifecycle_how(state, reason);
        info->domain_id = (int) virDomainGetID(domain);
        info->transient = virDomainIsPersistent(domain) == 0;
        if (state == VIR_DOMAIN_SHUTOFF &&
                        (reason == VIR_DOMAIN_SHUTOFF_FAILED ||
                                        reason == VIR_DOMAIN_SHUTOFF_CRASHED))
                info->state = STATE_FAILED;
        if (info->domain_id > 0 && strcmp(type, "qemu") == 0)
                fill_process(info, cgroup, sizeof(cgroup));
        else if (info->domain_id > 0 && strcmp(type, "lxc") == 0)
                fill_container(info, cgroup, sizeof(cgroup));
        info->labels = libvirt_app_labels(domain);
        return libvirt_link_post_if_newest(link, &fact, quiet ? UINT64_MAX : n_lifecycle);
}

static int post_domain(
                struct libvirt_link *link, virDomainPtr domain, const char *type, bool quiet) {
        int r = 0;

        for (unsigned int i = 0; r == 0 && i < TRIES_MAX; i++)
                r = try_domain(link, domain, type, quiet);
        return r == 0 ? try_domain(link, domain, type, true) : r;
}

/* Nothing but its app: what else it is may be told by events that are under way. */
static void post_metadata(struct libvirt_link *link, virDomainPtr domain) {
        struct json_object *labels = libvirt_app_labels(domain);
        struct fact fact = FACT_INIT(FACT_WORKLOAD);
        struct workload_info *info = &fact.workload;
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (!labels || virDomainGetUUIDString(domain, uuid) < 0) {
                (void) json_object_put(labels);
                return;
        }
        fact.time_us = clock_realtime_us();
        fact.quiet = true;
        info->kind = WORKLOAD_VM;
        info->native_id = uuid;
        info->name = virDomainGetName(domain);
        info->transient = virDomainIsPersistent(domain) == 0;
        info->labels = labels;
        libvirt_link_post(link, &fact);
}

static const char *driver_name(virConnectPtr connection, char text[static 16]) {
        const char *type = virConnectGetType(connection);
        size_t i;

        for (i = 0; type && type[i] && i < 15; i++)
                text[i] = (char) tolower((unsigned char) type[i]);
        text[i] = '\0';
        return text;
}

/* One whose state cannot be had may be gone since it was listed, or else be there all the same; or
 * it is the connection that is gone, and nothing is known of any. Return: 0; -EIO that. */
static int list_domain(struct libvirt_link *link, virDomainPtr domain, const char *type,
                char why[static WHY_MAX]) {
        struct fact fact = FACT_INIT(FACT_LISTED);
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (post_domain(link, domain, type, false) >= 0 ||
                        virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
                return 0;
        (void) snprintf(why, WHY_MAX, "%s", virGetLastErrorMessage());
        if (virConnectIsAlive(virDomainGetConnect(domain)) != 1 ||
                        virDomainGetUUIDString(domain, uuid) < 0)
                return -EIO;
        fact.time_us = clock_realtime_us();
        fact.workload.native_id = uuid;
        libvirt_link_post(link, &fact);
        return 0;
}

static int list_domains(
                struct libvirt_link *link, virConnectPtr connection, char why[static WHY_MAX]) {
        virDomainPtr *domains;
        char type[16];
        int n, r = 0;

        n = virConnectListAllDomains(connection, &domains, 0);
        if (n < 0) {
                (void) snprintf(why, WHY_MAX, "%s", virGetLastErrorMessage());
                return -EIO;
        }
        (void) driver_name(connection, type);
        post_mark(link, FACT_LISTING_BEGIN);
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = list_domain(link, domains[i], type, why);
                (void) virDomainFree(domains[i]);
        }
        free(domains);
        if (r >= 0)
                post_mark(link, FACT_LISTING_END);
        return r;
}

/* ---- looks ---- */

static void look(struct libvirt_link *link, virConnectPtr connection,
                const struct libvirt_look *wanted) {
        uint64_t n_lifecycle = libvirt_link_lifecycle(link);
        struct fact gone = FACT_INIT(FACT_REMOVED);
        virDomainPtr domain;
        virErrorPtr error;
        struct span *span;
        char type[16];

        span = libvirt_span_begin(link->spans, link->uri, NULL, "look");
        domain = virDomainLookupByUUIDString(connection, wanted->uuid);
        if (domain) {
                if (wanted->what == LIBVIRT_LOOK_METADATA)
                        post_metadata(link, domain);
                else if (wanted->what == LIBVIRT_LOOK_ALL)
                        (void) post_domain(link, domain, driver_name(connection, type), true);
                (void) virDomainFree(domain);
                libvirt_span_end(span, 0, NULL);
                return;
        }
        libvirt_span_end(span, wanted->what == LIBVIRT_LOOK_GONE ? 0 : -ENOENT, NULL);
        error = virGetLastError();
        if (wanted->what != LIBVIRT_LOOK_GONE || !error || error->code != VIR_ERR_NO_DOMAIN)
                return;
        gone.time_us = clock_realtime_us();
        gone.workload.kind = WORKLOAD_VM;
        gone.workload.native_id = wanted->uuid;
        if (!libvirt_link_post_if_newest(link, &gone, n_lifecycle))
                libvirt_link_look(link, wanted->uuid, LIBVIRT_LOOK_GONE);
}

/* Serve until the connection ends or the source stops. Return: whether to go on. */
static bool serve(struct libvirt_link *link, virConnectPtr connection, int *ret_reason) {
        struct libvirt_look *wanted;
        bool quit;

        (void) pthread_mutex_lock(&link->lock);
        while (!link->quit && !link->closed) {
                wanted = list_first(&link->looks, struct libvirt_look, list);
                if (!wanted) {
                        (void) pthread_cond_wait(&link->wake, &link->lock);
                        continue;
                }
                list_remove(&wanted->list);
                link->n_looks--;
                (void) pthread_mutex_unlock(&link->lock);
                look(link, connection, wanted);
                free(wanted);
                (void) pthread_mutex_lock(&link->lock);
        }
        quit = link->quit;
        *ret_reason = link->close_reason;
        (void) pthread_mutex_unlock(&link->lock);
        return !quit;
}

static void on_closed(virConnectPtr connection, int reason, void *userdata) {
        struct libvirt_link *link = userdata;

        (void) pthread_mutex_lock(&link->lock);
        link->closed = true;
        link->close_reason = reason;
        (void) pthread_cond_signal(&link->wake);
        (void) pthread_mutex_unlock(&link->lock);
}

static bool pause_for(struct libvirt_link *link, uint64_t wait_us) {
        struct timespec until;
        bool quit;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t) (wait_us / USEC_PER_SEC);
        until.tv_nsec += (long) (wait_us % USEC_PER_SEC * NSEC_PER_USEC);
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        (void) pthread_mutex_lock(&link->lock);
        while (!link->quit && pthread_cond_timedwait(&link->wake, &link->lock, &until) != ETIMEDOUT)
                ;
        quit = link->quit;
        (void) pthread_mutex_unlock(&link->lock);
        return !quit;
}

static const char *reason_text(int reason) {
        static const char *const texts[] = { "connection error", "connection closed by libvirtd",
                "libvirtd does not answer", "closed" };

        return reason >= 0 && (size_t) reason < ARRAY_SIZE(texts) ? texts[reason]
                                                                  : "connection lost";
}

/* One connection from open to close. Return: whether to go on. */
static bool connection_run(struct libvirt_link *link, uint64_t *wait_us) {
        int ids[LIBVIRT_CALLBACKS_MAX], n = 0, reason = 0, r;
        virConnectPtr connection;
        char why[WHY_MAX];
        struct span *span;
        bool go_on = true;

        (void) pthread_mutex_lock(&link->lock);
        link->closed = false;
        (void) pthread_mutex_unlock(&link->lock);

        span = libvirt_span_begin(link->spans, link->uri, NULL, "open");
        connection = link->write ? virConnectOpen(link->uri) : virConnectOpenReadOnly(link->uri);
        libvirt_span_end(span, connection ? 0 : -ENOTCONN, NULL);
        if (!connection) {
                post_state(link, SOURCE_DOWN, virGetLastErrorMessage());
                return pause_for(link, source_backoff_next(wait_us));
        }
        (void) virConnectSetKeepAlive(connection, KEEPALIVE_S, KEEPALIVE_COUNT);
        /* No reference of its own: it is unregistered before this thread gives up its own, and
         * drivers of this process take it without ever giving it back. */
        (void) virConnectRegisterCloseCallback(connection, on_closed, link, NULL);
        libvirt_link_post_lifecycle(link, NULL, 0, 0);
        r = libvirt_events_register(link, connection, ids);
        (void) snprintf(why, sizeof(why), "%s", virGetLastErrorMessage());
        if (r >= 0) {
                n = r;
                span = libvirt_span_begin(link->spans, link->uri, NULL, "list");
                r = list_domains(link, connection, why);
                libvirt_span_end(span, r, why);
        }
        if (r >= 0) {
                *wait_us = 0;
                post_state(link, SOURCE_UP, NULL);
                go_on = serve(link, connection, &reason);
        }
        if (go_on)
                post_state(link, SOURCE_DOWN, r < 0 ? why : reason_text(reason));

        for (int i = 0; i < n; i++)
                (void) virConnectDomainEventDeregisterAny(connection, ids[i]);
        (void) virConnectUnregisterCloseCallback(connection, on_closed);
        (void) virConnectClose(connection);
        return go_on && pause_for(link, source_backoff_next(wait_us));
}

static void quiet_errors(void *userdata, virErrorPtr error) {
        /* They are read with virGetLastErrorMessage() and told once, by the source. */
}

void *libvirt_calls_main(void *userdata) {
        struct libvirt_link *link = userdata;
        uint64_t wait_us = 0;

        virSetErrorFunc(NULL, quiet_errors);
        while (connection_run(link, &wait_us))
                ;
        libvirt_link_unref(link);
        return NULL;
}
