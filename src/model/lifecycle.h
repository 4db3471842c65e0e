#pragma once
/* libvirt's numbers as words: events, details, states, reasons (FACTS 6.4, TESTING-libvirt 2).
 * Unknown numbers pass through as numbers. Pure: no libvirt header; the numbers are libvirt's ABI.
 */

#include "model/exit.h"

/** "started" "suspended" … for virDomainEventType; "event-42" for an unknown one. Return: @text or
 * a constant. */
const char *lifecycle_event_word(int event, char text[static 32]);
/** "booted" "unpaused" "failed" …; "detail-42" for an unknown one. */
const char *lifecycle_detail_word(int event, int detail, char text[static 32]);
/** virDomainState as our state; its reason as a word ("booted", "crashed", "io-error"; "reason-9").
 */
enum workload_state lifecycle_state(int vir_state);
const char *lifecycle_state_reason_word(int vir_state, int reason, char text[static 32]);

/* What a lifecycle event means to us. */
struct lifecycle_meaning {
        bool is_exit; /* a STOPPED event: see how */
        enum exit_how how;
        const char *action; /* for no exit: "started" "paused" "resumed" "panicked" "crashloaded"
                             * "shutdown" "suspended" "defined" "undefined"; unknown: "lifecycle" */
        enum workload_state state; /* afterwards; WORKLOAD_STATE_MAX_: unchanged */
        enum severity severity;
        bool publish; /* false: of no use to readers (SHUTDOWN that a STOPPED follows) */
};

void lifecycle_meaning(int event, int detail, struct lifecycle_meaning *ret_meaning);
/** How a domain found SHUTOFF or CRASHED at a listing ended, by the reason of that state. */
enum exit_how lifecycle_how(int vir_state, int reason);
