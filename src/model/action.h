#pragma once
/* What an operator may ask to be done to a workload: the words of it, what a request's body may
 * say, and which numbers are allowed. Pure. */

#include <json-c/json.h>

#include "base/diag.h"
#include "model/workload.h"

enum action_verb {
        ACTION_STOP,    /* as its owner would: ACPI, the stop signal, a stop job */
        ACTION_DESTROY, /* at once, without asking it */
        ACTION_SCALE,   /* give it other vCPUs or memory */
        ACTION_VERB_MAX_,
};

#define ACTION_BIT(verb)     (1U << (verb))
#define ACTION_MEMORY_MIN_MB 16
#define ACTION_VCPUS_MAX     4096
#define ACTION_MEMORY_MAX_MB (UINT64_C(1) << 32) /* 4 PiB */

struct action {
        enum action_verb verb;
        uint32_t vcpus;     /* scale: 0: as they are */
        uint64_t memory_mb; /* scale: MiB; 0: as it is */
};

/* How far one workload may be scaled. 0: not known, its source will say. */
struct action_limits {
        uint64_t vcpus_max;
        uint64_t memory_max_mb;
};

/** "stop" "destroy" "scale". */
const char *action_verb_to_string(enum action_verb verb);

/**
 * Read {"confirm":NAME} and, of a scale, "vcpus" and "memory_mb", of which one must be there. Other
 * members are refused.
 *
 * @ret_confirm: the name that was given; borrowed from @body
 *
 * Return: 0; -EINVAL and a sentence that begins with the member's name.
 */
int action_parse(enum action_verb verb, struct json_object *body, struct diag *diag,
                struct action *ret_action, const char **ret_confirm);
/** Whether the numbers of a scale are within @limits. Return: 0; -EINVAL as above. */
int action_check(
                const struct action *action, const struct action_limits *limits, struct diag *diag);
/** Whether a workload in that state can be asked. @ret_why: what it is, where it cannot; a
 * constant. */
bool action_fits(enum action_verb verb, const struct workload *workload, const char **ret_why);
/** "stop", "scale to 2 vCPUs and 512 MiB". Return: @text. */
const char *action_words(const struct action *action, char text[static 80]);
