#pragma once
/* Passwords against bcrypt hashes. A check takes long by design, so it is done on a thread of its
 * own, one after the other, and a good answer is remembered (as a keyed digest of the password,
 * never itself) until others push it out. Loop thread only. */

#include <systemd/sd-event.h>

#include "base/macro.h"

#define PASSWORDS_WAITING_MAX 32
#define PASSWORDS_GOOD_MAX    64
#define PASSWORD_MAX          512 /* bytes; bcrypt looks at 72 */
#define PASSWORD_COST_MAX     14  /* of bcrypt: about a second */

struct passwords;

/** Return: 0; -ENOMEM; what sd-event says. */
int passwords_new(sd_event *event, struct passwords **ret_passwords);
/** Waits for the check that is under way; those that wait are told "no". */
struct passwords *passwords_free(struct passwords *passwords);
DEFINE_FREEP(struct passwords, passwords_free);

/** Whether @hash is one that is understood: "$2a$", "$2b$" or "$2y$", cost 4 to 14. */
bool password_hash_is_good(const char *hash);

/**
 * Is that the password of @hash? Of NULL, a user that there is not, nothing is, which takes as long
 * to say.
 *
 * @done: later, on the loop, only if -EINPROGRESS is returned; NULL: only what was found before
 *
 * Return: 1 it is, as was found before; -EINPROGRESS; -EAGAIN too many wait, or it was not found
 * before; -EINVAL too long; -ENOMEM.
 */
int passwords_check(struct passwords *passwords, const char *hash, const char *password,
                void (*done)(bool good, void *userdata), void *userdata);
