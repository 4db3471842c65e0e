#pragma once
/* A probe: what is asked of an app, what has come of it, and when it is asked next. Pure; the
 * prober (engine) does the asking. */

#include <json-c/json.h>

#include "base/buf.h"
#include "base/diag.h"

#define PROBE_PATH_MAX      1024
#define PROBE_URL_MAX       512 /* scheme, host and port */
#define PROBE_TARGET_MAX    (PROBE_URL_MAX + PROBE_PATH_MAX)
#define PROBE_INTERVAL_MAX  86400
#define PROBE_TIMEOUT_MAX   60
#define PROBE_THRESHOLD_MAX 100
#define PROBE_ERROR_MAX     240

/* What is asked where there is no url. */
enum probe_target {
        PROBE_TARGET_AUTO,  /* the app's first host; without one as PROBE_TARGET_VM */
        PROBE_TARGET_ROUTE, /* the app's first host */
        PROBE_TARGET_VM,    /* the address of its VM, or of its container if it has no VM */
        PROBE_TARGET_KINDS_,
};

struct probe_config {
        char path[PROBE_PATH_MAX + 1]; /* from '/' on, with the query; default "/" */
        char url[PROBE_URL_MAX + 1];   /* "http://10.0.0.5:8080"; "": see target */
        enum probe_target target;      /* "auto" (default) | "route" | "vm" */
        unsigned int port;             /* 1..65535 of the VM's address; 443 is https; 0: 80 */
        unsigned int interval_s;       /* 1..86400, default 60 */
        unsigned int expected_status;  /* 100..599, default 200 */
        unsigned int timeout_s;        /* 1..60 for the whole of a run, default 5 */
        unsigned int failures;         /* 1..100 in a row make it down, default 3 */
        unsigned int successes;        /* 1..100 in a row make it up, default 2 */
        bool enabled;                  /* default true */
        bool follow_redirects;         /* at most 5; default false */
        bool insecure;                 /* any certificate will do; default false */
};

enum probe_status {
        PROBE_UNKNOWN,
        PROBE_UP,
        PROBE_DOWN,
        PROBE_STATUS_MAX_,
};

enum probe_phase {
        PROBE_RESOLVE,
        PROBE_CONNECT,
        PROBE_TLS,
        PROBE_PROCESSING, /* from the request to the answer's first byte */
        PROBE_TRANSFER,
        PROBE_PHASE_MAX_,
};

struct probe_result {
        uint64_t at_us; /* CLOCK_REALTIME of its start */
        bool success;
        unsigned int http_status;    /* 0: there was no answer */
        char error[PROBE_ERROR_MAX]; /* "": none; UTF-8 */
        char address[46];            /* of the VM, where that was asked; "" */
        uint64_t duration_us;
        uint64_t phase_us[PROBE_PHASE_MAX_];
        uint64_t cert_expiry_s; /* since 1970, the first of the chain to end; 0: no TLS */
};

struct probe_state {
        enum probe_status status; /* by the thresholds */
        uint64_t since_us;        /* CLOCK_REALTIME of its last flip; 0: never */
        unsigned int consecutive_failures, consecutive_successes;
        bool has_run;
        struct probe_result last; /* if has_run */
};

/** "auto" "route" "vm". */
const char *probe_target_to_string(enum probe_target target);
/** "unknown" "up" "down"; "resolve" "connect" "tls" "processing" "transfer". */
const char *probe_status_to_string(enum probe_status status);
const char *probe_phase_to_string(enum probe_phase phase);

/**
 * Read {"path","interval_s","expected_status","timeout_s","enabled"} and the additions {"url",
 * "target","port","failures","successes","follow_redirects","insecure"}; what is not there has its
 * default. A url with a path in it is taken apart, if there is no "path".
 *
 * Return: 0; -EINVAL with the member and what is allowed in @diag.
 */
int probe_config_parse(
                struct json_object *object, struct diag *diag, struct probe_config *ret_config);
/** The frozen members, and of the additions those that differ from their defaults. Caller puts;
 * NULL: no memory. */
struct json_object *probe_config_to_json(const struct probe_config *config);
/** Do both ask the same? Then what is known of one holds for the other. */
bool probe_config_same_target(const struct probe_config *a, const struct probe_config *b);

/** Whether @host (of the app; NULL: none) or else a VM's address is asked. */
bool probe_asks_vm(const struct probe_config *config, const char *host);

/** What is asked for: the url, or @host (of the app; NULL: none) by https if it has port 443, or
 * the @address of its VM (NULL: none is known). Return: 0; -ENOENT none of them; -ENOSPC. */
int probe_url(const struct probe_config *config, const char *host, const char *address,
                char target[static PROBE_TARGET_MAX + 1]);

/** A run has ended. Return: whether the status changed. */
bool probe_take(struct probe_state *state, const struct probe_config *config,
                const struct probe_result *result);

/** The frozen shape, {"config","last_run_at","last_status","last_http_status","last_error",
 * "consecutive_failures"}, and once there was a run more. Caller puts; NULL: no memory. */
struct json_object *probe_to_json(
                const struct probe_config *config, const struct probe_state *state);
/** The inverse, of what was stored. Return: 0; -EINVAL. */
int probe_from_json(struct json_object *object, struct probe_config *ret_config,
                struct probe_state *ret_state);

/**
 * When @slug's turn is: its own offset into each interval, spread evenly over all slugs.
 *
 * @now_us: CLOCK_MONOTONIC
 *
 * Return: the first such time after @now_us.
 */
uint64_t probe_next_us(const char *slug, uint64_t interval_us, uint64_t now_us);
