/* What operators ask to be done to a domain: each on a thread of its own with a connection of its
 * own, since a call to a QEMU that hangs returns only when libvirtd gives up, if at all. Such a
 * thread stays until then and keeps its place among the few there may be; whoever asked has a
 * timeout and waits no longer.
 *
 * To destroy a domain libvirtd kills its QEMU without asking it, and so ends what hangs. */

#include <inttypes.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "source/libvirt_link.h"

/* FACTS 6.6: libvirtd has 20 workers, and each stuck call takes one. */
#define CONTROLS_MAX 4
#define TEXT_MAX     256

struct control {
        struct libvirt_link *link;
        uint64_t ticket;
        struct action action;
        struct trace_context parent; /* of the request that asked */
        bool has_parent;
        char uuid[VIR_UUID_STRING_BUFLEN];
};

static int error_of(char *text) {
        virErrorPtr error = virGetLastError();

        (void) snprintf(text, TEXT_MAX, "libvirt: %s", virGetLastErrorMessage());
        switch (error ? error->code : VIR_ERR_OK) {
        case VIR_ERR_NO_DOMAIN:
                return -ENOENT;
        case VIR_ERR_OPERATION_INVALID:
                return -ESRCH;
        case VIR_ERR_OPERATION_TIMEOUT:
        case VIR_ERR_AGENT_UNRESPONSIVE:
                return -ETIMEDOUT;
        case VIR_ERR_INVALID_ARG:
                return -EINVAL;
        case VIR_ERR_NO_SUPPORT:
        case VIR_ERR_OPERATION_UNSUPPORTED:
        case VIR_ERR_CONFIG_UNSUPPORTED:
        case VIR_ERR_ARGUMENT_UNSUPPORTED:
                return -EOPNOTSUPP;
        case VIR_ERR_OPERATION_DENIED:
        case VIR_ERR_ACCESS_DENIED:
        case VIR_ERR_AUTH_FAILED:
        case VIR_ERR_AUTH_CANCELLED:
        case VIR_ERR_AUTH_UNAVAILABLE:
                return -EACCES;
        default:
                return -EREMOTEIO;
        }
}

static int check_max(const char *member, uint64_t wanted, uint64_t max, char *text) {
        if (wanted <= max)
                return 0;
        (void) snprintf(text, TEXT_MAX,
                        "%s: this domain may have at most %" PRIu64 ", not %" PRIu64, member, max,
                        wanted);
        return -EINVAL;
}

static int check_vcpus(virDomainPtr domain, const struct action *action, bool active, char *text) {
        int max = virDomainGetVcpusFlags(domain,
                        VIR_DOMAIN_VCPU_MAXIMUM |
                                        (active ? (unsigned int) VIR_DOMAIN_VCPU_LIVE
                                                : (unsigned int) VIR_DOMAIN_VCPU_CONFIG));

        return max < 0 ? error_of(text) : check_max("vcpus", action->vcpus, (uint64_t) max, text);
}

static int check_memory(virDomainPtr domain, const struct action *action, char *text) {
        unsigned long max_kib = virDomainGetMaxMemory(domain);

        return max_kib == 0 ? error_of(text)
                            : check_max("memory_mb", action->memory_mb, max_kib / 1024, text);
}

/* Both are checked before either is set. Live where it runs, and for its next start. */
static int scale(virDomainPtr domain, const struct action *action, char *text) {
        int active = virDomainIsActive(domain), persistent = virDomainIsPersistent(domain), r = 0;
        unsigned int flags;

        if (active < 0 || persistent < 0)
                return error_of(text);
        flags = (active ? (unsigned int) VIR_DOMAIN_AFFECT_LIVE : 0U) |
                        (persistent ? (unsigned int) VIR_DOMAIN_AFFECT_CONFIG : 0U);
        if (action->vcpus)
                r = check_vcpus(domain, action, active, text);
        if (r >= 0 && action->memory_mb)
                r = check_memory(domain, action, text);
        if (r < 0)
                return r;
        if (action->vcpus && virDomainSetVcpusFlags(domain, action->vcpus, flags) < 0)
                return error_of(text);
        if (action->memory_mb &&
                        virDomainSetMemoryFlags(domain, (unsigned long) action->memory_mb * 1024,
                                        flags) < 0) {
                r = error_of(text);
                if (action->vcpus) {
                        (void) snprintf(text, TEXT_MAX, "the vCPUs are set, the memory is not: %s",
                                        virGetLastErrorMessage());
                        r = -EREMOTEIO;
                }
                return r;
        }
        if (!active || !action->memory_mb)
                return 0;
        (void) snprintf(text, TEXT_MAX, "set; how soon memory follows is for the guest's balloon");
        return 1;
}

static int act(virDomainPtr domain, const struct action *action, char *text) {
        switch (action->verb) {
        case ACTION_STOP:
                if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_DEFAULT) < 0)
                        return error_of(text);
                (void) snprintf(text, TEXT_MAX, "the guest is asked to shut down");
                return 1;
        case ACTION_DESTROY:
                return virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_DEFAULT) < 0
                                ? error_of(text)
                                : 0;
        case ACTION_SCALE:
                return scale(domain, action, text);
        default:
                return -EOPNOTSUPP;
        }
}

static int run(const struct control *control, char *text) {
        virConnectPtr connection = virConnectOpen(control->link->uri);
        virDomainPtr domain;
        int r;

        if (!connection) {
                (void) error_of(text);
                return -ENOTCONN;
        }
        domain = virDomainLookupByUUIDString(connection, control->uuid);
        r = domain ? act(domain, &control->action, text) : error_of(text);
        if (domain)
                (void) virDomainFree(domain);
        (void) virConnectClose(connection);
        return r;
}

static void control_free(struct control *control) {
        (void) pthread_mutex_lock(&control->link->lock);
        control->link->n_controls--;
        (void) pthread_mutex_unlock(&control->link->lock);
        libvirt_link_unref(control->link);
        free(control);
}

static void *control_main(void *userdata) {
        struct control *control = userdata;
        char text[TEXT_MAX] = "";
        struct span *span;
        int r;

        span = libvirt_span_begin(control->link->spans, control->link->uri,
                        control->has_parent ? &control->parent : NULL,
                        action_verb_to_string(control->action.verb));
        r = run(control, text);
        libvirt_span_end(span, r, text);
        libvirt_link_answer(control->link, control->ticket, r, text);
        control_free(control);
        return NULL;
}

int libvirt_control(struct libvirt_link *link, const struct source_control *asked) {
        struct control *control;
        pthread_attr_t attributes;
        pthread_t thread;
        bool full;
        int r;

        control = calloc(1, sizeof(*control));
        if (!control)
                return -ENOMEM;
        (void) pthread_mutex_lock(&link->lock);
        full = link->n_controls >= CONTROLS_MAX;
        link->n_controls += !full;
        (void) pthread_mutex_unlock(&link->lock);
        if (full) {
                free(control);
                return -EAGAIN;
        }
        control->link = libvirt_link_ref(link);
        control->ticket = asked->ticket;
        control->action = asked->action;
        control->has_parent = spans_current(link->spans) != NULL;
        if (control->has_parent)
                control->parent = *spans_current(link->spans);
        (void) snprintf(control->uuid, sizeof(control->uuid), "%s", asked->workload->native_id);

        /* Detached: it may hang in a libvirt that hangs. */
        (void) pthread_attr_init(&attributes);
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        r = -pthread_create(&thread, &attributes, control_main, control);
        (void) pthread_attr_destroy(&attributes);
        if (r < 0)
                control_free(control);
        return r;
}
