#pragma once
/* libvirt's domain events, but for lifecycle (lifecycle.h), given meaning: action word, severity,
 * details, sentence. Pure; ids and numbers are libvirt's ABI (libvirt-domain.h). A number that is
 * not known passes through as a number ("reason-9"). */

#include <json-c/json.h>

#include "model/word.h"

/* virDomainEventID; the texts and numbers that each brings, in the order of its callback's
 * arguments, stand in the table of domain_event.c. */
enum domain_event_id {
        DOMAIN_EVENT_REBOOT = 1,
        DOMAIN_EVENT_RTC_CHANGE,
        DOMAIN_EVENT_WATCHDOG,
        DOMAIN_EVENT_IO_ERROR,
        DOMAIN_EVENT_GRAPHICS,
        DOMAIN_EVENT_IO_ERROR_REASON,
        DOMAIN_EVENT_CONTROL_ERROR,
        DOMAIN_EVENT_BLOCK_JOB,
        DOMAIN_EVENT_DISK_CHANGE,
        DOMAIN_EVENT_TRAY_CHANGE,
        DOMAIN_EVENT_PMWAKEUP,
        DOMAIN_EVENT_PMSUSPEND,
        DOMAIN_EVENT_BALLOON_CHANGE,
        DOMAIN_EVENT_PMSUSPEND_DISK,
        DOMAIN_EVENT_DEVICE_REMOVED,
        DOMAIN_EVENT_BLOCK_JOB_2,
        DOMAIN_EVENT_TUNABLE,
        DOMAIN_EVENT_AGENT_LIFECYCLE,
        DOMAIN_EVENT_DEVICE_ADDED,
        DOMAIN_EVENT_MIGRATION_ITERATION,
        DOMAIN_EVENT_JOB_COMPLETED,
        DOMAIN_EVENT_DEVICE_REMOVAL_FAILED,
        DOMAIN_EVENT_METADATA_CHANGE,
        DOMAIN_EVENT_BLOCK_THRESHOLD,
        DOMAIN_EVENT_MEMORY_FAILURE,
        DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE,
        DOMAIN_EVENT_NIC_MAC_CHANGE,    /* libvirt 11.2 */
        DOMAIN_EVENT_VCPU_REMOVED,      /* libvirt 12.4, as the next */
        DOMAIN_EVENT_CHANNEL_LIFECYCLE, /* of any virtio-serial port */
        DOMAIN_EVENT_MAX_,
};

#define DOMAIN_EVENT_TEXTS_MAX   6
#define DOMAIN_EVENT_NUMBERS_MAX 3

/* An event as libvirt told it: borrowed, from outside, texts may be NULL and are not always UTF-8.
 */
struct domain_event {
        int id;
        const char *texts[DOMAIN_EVENT_TEXTS_MAX];
        int64_t numbers[DOMAIN_EVENT_NUMBERS_MAX];
        struct json_object *params; /* taken; typed parameters by name, clean; NULL: none */
};

struct domain_event_meaning {
        const char *action; /* a constant */
        enum severity severity;
        bool quiet; /* tells nothing that another event does not tell: to be counted, not published
                     */
        unsigned int burst; /* a guest can make as many as it likes: fold_pass(); 0: it cannot */
        struct json_object *details; /* owned; clean */
        char message[256];           /* a sentence, or "": none better than the usual one */
        char key[256];               /* what makes two of one domain the same for fold_pass() */
};

/** Takes @event->params, also on failure. Return: 0; -ENOMEM. */
int domain_event_meaning(
                const struct domain_event *event, struct domain_event_meaning *ret_meaning);
void domain_event_meaning_done(struct domain_event_meaning *meaning);

/** "save" for VIR_DOMAIN_JOB_OPERATION_SAVE; "operation-42". Return: @text or a constant. */
const char *domain_event_operation_word(int64_t operation, char text[static 32]);
