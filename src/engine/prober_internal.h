#pragma once
/* What the prober's files share: prober.c (the table, turns, storing) and prober_run.c (one run,
 * by libcurl). */

#include <netinet/in.h>

#include "engine/prober.h"
#include "loop/curl_glue.h"

#define OWN_MAX 16

union own_address {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
};

struct prober {
        struct prober_config config;
        struct prober_hooks hooks;
        char *user_agent, *ca_file;
        bool looks_at_tls; /* prober_tls_can_look() */
        sd_event *event;
        struct curl_glue *curl;
        struct map *by_slug;
        struct list dirty;       /* of struct probe */
        sd_event_source *keeper; /* on while there are such */
        union own_address own[OWN_MAX];
        size_t n_own;
        struct prober_stats stats;
};

/** Begin one. Return: 0; -EDESTADDRREQ; -EINVAL libcurl does not take the url; -ENOMEM. */
int prober_run_start(struct probe *probe);
/** Drop it. Takes NULL; returns NULL. */
struct prober_run *prober_run_cancel(struct prober_run *run);
/** Whether the url's host is an address, in whatever spelling, that is refused: why; else NULL. */
const char *prober_run_url_refusal(const struct prober *prober, const char *url);

/** Whether prober_tls_expiry() can be asked: libcurl uses the OpenSSL that we do. */
bool prober_tls_can_look(void);
/** When the first of the certificates ends that the target of a connection has shown,
 * CLOCK_REALTIME seconds; 0: it showed none. From CURLOPT_PREREQFUNCTION. */
uint64_t prober_tls_expiry(CURL *easy);

/** How it ended; @result NULL: it told nothing of the target. */
void prober_run_ended(struct probe *probe, const struct probe_result *result);
