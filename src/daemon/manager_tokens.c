/* Tokens and refusals on their way to the store. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/manager_internal.h"

static int keep_token(const char *id, const char *document, struct event *event,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata) {
        return manager_keep("token", id, document, event, done, done_userdata, userdata);
}

static void token_gone(const struct token *token, void *userdata) {
        struct manager *manager = userdata;

        if (manager->http)
                http_token_gone(manager->http, token->id);
}

static void tell_refusal(struct event *event, void *userdata) {
        struct manager *manager = userdata;

        /* dropped and counted there where it is full */
        (void) journal_append(
                        manager->journal, &(struct journal_entry){ .event = event_ref(event) });
}

int manager_load_token(const char *id, const char *document, void *userdata) {
        struct manager *manager = userdata;
        int r;

        r = tokens_restore(manager->tokens, id, document, clock_realtime_us());
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warn_errno(r, "Cannot restore token %s, skipped: %m", id);
        return 0;
}

int manager_load_tokens(struct manager *manager) {
        int r;

        r = tokens_new(&(struct tokens_hooks){ .keep = keep_token,
                                       .gone = token_gone,
                                       .userdata = manager },
                        &manager->tokens);
        if (r >= 0)
                r = refusals_new(tell_refusal, manager, &manager->refusals);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the tokens: %m");
        r = journal_load_documents(manager->journal, "token", manager_load_token, manager);
        if (r < 0)
                (void) log_error_errno(r, "Cannot read the stored tokens: %m");
        return r == -ENOMEM ? r : 0;
}

void manager_tick_tokens(struct manager *manager, bool ending) {
        if (manager->tokens)
                tokens_tick(manager->tokens, clock_realtime_us(), ending);
        if (manager->refusals)
                refusals_tick(manager->refusals, clock_monotonic_us());
}

void manager_free_tokens(struct manager *manager) {
        manager->tokens = tokens_free(manager->tokens);
        manager->refusals = refusals_free(manager->refusals);
}
