/* One run: a GET by libcurl with everything off that the outside could lead astray. Each socket is
 * checked when it is made, with the address it is for; so are those of redirects. */

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "engine/apps.h"
#include "engine/prober_internal.h"
#include "model/workload.h"

#define BODY_MAX      (64U << 10)
#define REDIRECTS_MAX 5L
#define LATE_US       (500 * USEC_PER_MSEC)

struct prober_run {
        struct probe *probe;
        struct curl_call *call;
        uint64_t begin_us;      /* CLOCK_MONOTONIC */
        uint64_t at_us;         /* CLOCK_REALTIME */
        unsigned int timeout_s; /* that it began with */
        size_t body_size;
        uint64_t cert_expiry_s;
        char address[WORKLOAD_ADDRESS_SIZE]; /* of the VM; "": another target */
        int our_fault;                       /* what we lacked for a socket; 0 */
        const char *refusal;                 /* of the address below; NULL: none was refused */
        char refused[INET6_ADDRSTRLEN];
        char error[CURL_ERROR_SIZE];
};

/* ---- where it may go ---- */

static void note_refusal(
                struct prober_run *run, const struct sockaddr *address, const char *refusal) {
        const union own_address *any = (const void *) address;

        run->refusal = refusal;
        (void) inet_ntop(address->sa_family,
                        address->sa_family == AF_INET6 ? (const void *) &any->six.sin6_addr
                                                       : (const void *) &any->four.sin_addr,
                        run->refused, sizeof(run->refused));
}

static curl_socket_t on_open(void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        struct prober_run *run = userdata;
        const char *refusal = prober_refusal(run->probe->prober, &address->addr);
        int fd;

        if (refusal) {
                note_refusal(run, &address->addr, refusal);
                return CURL_SOCKET_BAD;
        }
        fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
                run->our_fault = -errno;
        return fd < 0 ? CURL_SOCKET_BAD : fd;
}

const char *prober_run_url_refusal(const struct prober *prober, const char *url) {
        const char *refusal = NULL;
        union own_address address = {};
        CURLU *parsed = curl_url();
        char *host = NULL, *port = NULL;
        size_t n;

        /* libcurl reads the many spellings of an IPv4 address and gives the usual one back */
        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                        curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ==
                                        CURLUE_OK) {
                uint64_t number = 0;

                (void) text_to_u64(port, &number);
                n = strlen(host);
                if (host[0] == '[' && n > 1)
                        host[n - 1] = '\0';
                if (inet_pton(AF_INET, host, &address.four.sin_addr) == 1)
                        address.four.sin_family = AF_INET;
                else if (inet_pton(AF_INET6, host + (host[0] == '['), &address.six.sin6_addr) == 1)
                        address.six.sin6_family = AF_INET6;
                address.four.sin_port = htons((uint16_t) number); /* at one place in both */
                if (address.any.sa_family)
                        refusal = prober_refusal(prober, &address.any);
        }
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parsed);
        return refusal;
}

/* ---- what it came to ---- */

static void take_timings(CURL *easy, struct probe_result *result) {
        static const CURLINFO marks[PROBE_PHASE_MAX_] = { CURLINFO_NAMELOOKUP_TIME_T,
                CURLINFO_CONNECT_TIME_T, CURLINFO_APPCONNECT_TIME_T, CURLINFO_STARTTRANSFER_TIME_T,
                CURLINFO_TOTAL_TIME_T };
        curl_off_t before_us = 0, mark_us = 0;

        /* each mark is counted from the start; 0 where it was not reached, or there was no TLS */
        for (size_t i = 0; i < PROBE_PHASE_MAX_; i++) {
                (void) curl_easy_getinfo(easy, marks[i], &mark_us);
                if (mark_us <= before_us)
                        continue;
                result->phase_us[i] = (uint64_t) (mark_us - before_us);
                before_us = mark_us;
        }
        result->duration_us = (uint64_t) before_us;
}

/* Connected, with nothing sent yet: also to where a redirect leads. */
static int on_connected(
                void *userdata, char *remote, char *local, int remote_port, int local_port) {
        struct prober_run *run = userdata;
        uint64_t expiry_s = prober_tls_expiry(curl_call_easy(run->call));

        if (expiry_s)
                run->cert_expiry_s = expiry_s;
        return CURL_PREREQFUNC_OK;
}

/* The same from what libcurl prints, where its TLS is not one we can look into. */
static void take_certificates(CURL *easy, struct probe_result *result) {
        struct curl_certinfo *chain = NULL;

        if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain)
                return;
        for (int i = 0; i < chain->num_of_certs; i++) {
                for (const struct curl_slist *line = chain->certinfo[i]; line; line = line->next) {
                        time_t end_s;

                        if (!text_starts_with(line->data, "Expire date:"))
                                continue;
                        end_s = curl_getdate(line->data + strlen("Expire date:"), NULL);
                        if (end_s > 0 &&
                                        (!result->cert_expiry_s ||
                                                        (uint64_t) end_s < result->cert_expiry_s))
                                result->cert_expiry_s = (uint64_t) end_s;
                }
        }
}

PRINTF_LIKE(2, 3)
static void explain(struct probe_result *result, const char *format, ...) {
        _cleanup_(freep) char *clean = NULL;
        char text[2 * PROBE_ERROR_MAX];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        for (char *c = text; *c; c++)
                if ((unsigned char) *c < ' ' || *c == 0x7f)
                        *c = ' ';
        if (text_sanitize(text, strlen(text), PROBE_ERROR_MAX - 1, &clean) >= 0)
                (void) snprintf(result->error, sizeof(result->error), "%s", clean);
}

static void explain_failure(struct prober_run *run, int error, struct probe_result *result) {
        CURLcode code = curl_call_result(run->call);

        if (run->refusal && code == CURLE_COULDNT_CONNECT)
                explain(result, "%s is not to be asked: %s", run->refused, run->refusal);
        else if (code == CURLE_COULDNT_CONNECT)
                explain(result, "cannot connect: %s", strerrordesc_np(-error));
        else if (code == CURLE_OPERATION_TIMEDOUT)
                explain(result, "no answer within %u s", run->timeout_s);
        else if (code == CURLE_COULDNT_RESOLVE_HOST)
                explain(result, "the host's name does not resolve");
        else if (code == CURLE_TOO_MANY_REDIRECTS)
                explain(result, "more than %ld redirects", REDIRECTS_MAX);
        else if (code == CURLE_UNSUPPORTED_PROTOCOL)
                explain(result, "redirected to what is neither http nor https");
        else
                explain(result, "%s", run->error[0] ? run->error : curl_easy_strerror(code));
}

/* What failed for want of something of ours, or because the loop came to it too late, says nothing
 * of the target. */
static bool is_ours(const struct prober_run *run, int error) {
        CURLcode code = curl_call_result(run->call);
        const uint64_t timeout_us = run->timeout_s * USEC_PER_SEC;

        if (code == CURLE_COULDNT_CONNECT && !run->refusal && error == -EADDRNOTAVAIL)
                return true;
        return run->our_fault < 0 || code == CURLE_OUT_OF_MEMORY ||
                        (code == CURLE_OPERATION_TIMEDOUT &&
                                        clock_monotonic_us() - run->begin_us >
                                                        timeout_us + LATE_US);
}

static void on_done(struct curl_call *call, int error, long status, const char *body, size_t size,
                void *userdata) {
        _cleanup_(freep) struct prober_run *run = userdata;
        struct probe *probe = run->probe;
        struct probe_result result = { .at_us = run->at_us,
                .http_status = status > 0 && status < 1000 ? (unsigned int) status : 0 };

        probe->run = NULL;
        memcpy(result.address, run->address, sizeof(result.address));
        take_timings(curl_call_easy(call), &result);
        result.cert_expiry_s = run->cert_expiry_s;
        if (!probe->prober->looks_at_tls)
                take_certificates(curl_call_easy(call), &result);
        if (error == -EFBIG)
                error = 0; /* it has answered; what more it says is not read */
        if (error < 0 && is_ours(run, error)) {
                prober_run_ended(probe, NULL);
                return;
        }
        result.success = error >= 0 && result.http_status == probe->config.expected_status;
        if (error < 0) {
                explain_failure(run, error, &result);
        } else if (!result.success) {
                explain(&result, "status %ld where %u is expected", status,
                                probe->config.expected_status);
        }
        prober_run_ended(probe, &result);
}

static int on_data(struct curl_call *call, const char *data, size_t size, void *userdata) {
        struct prober_run *run = userdata;

        run->body_size += size;
        return run->body_size > BODY_MAX ? -EFBIG : 0;
}

/* ---- the start ---- */

/* NOLINTNEXTLINE(readability-function-cognitive-complexity): a table of options */
static int on_easy(CURL *easy, void *userdata) {
        struct prober_run *run = userdata;
        const struct prober *prober = run->probe->prober;
        const struct probe_config *config = &run->probe->config;
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)
        SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
        SET(CURLOPT_OPENSOCKETDATA, run);
        SET(CURLOPT_ERRORBUFFER, run->error);
        SET(CURLOPT_USERAGENT, prober->user_agent);
        SET(CURLOPT_FOLLOWLOCATION, config->follow_redirects ? 1L : 0L);
        SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
        SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_PATH_AS_IS, 1L);
        SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* a name that moved is seen at once */
        SET(CURLOPT_QUICK_EXIT, 1L);        /* a name server that hangs must not hold the loop up */
        if (prober->looks_at_tls) {
                SET(CURLOPT_PREREQFUNCTION, on_connected);
                SET(CURLOPT_PREREQDATA, run);
        } else {
                SET(CURLOPT_CERTINFO, 1L);
        }
        SET(CURLOPT_SSL_VERIFYPEER, config->insecure ? 0L : 1L);
        SET(CURLOPT_SSL_VERIFYHOST, config->insecure ? 0L : 2L);
        /* a file and no folder: then libcurl reads it once for all runs, not for each */
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_CAINFO, prober->ca_file);
#undef SET
        return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static const char *host_of(const struct probe *probe) {
        const struct app *app = apps_get(probe->prober->config.apps, probe->slug);

        return app && app->hosts.n > 0 ? app->hosts.items[0] : NULL;
}

/* The first that may be asked; if none may, the first, so that the run says why not. */
static const char *pick_address(const struct prober *prober, const struct workload *workload) {
        for (size_t i = 0; i < workload->n_addresses; i++) {
                const char *text = workload->addresses[i];
                union own_address address = {};

                if (inet_pton(AF_INET, text, &address.four.sin_addr) == 1)
                        address.four.sin_family = AF_INET;
                else if (inet_pton(AF_INET6, text, &address.six.sin6_addr) == 1)
                        address.six.sin6_family = AF_INET6;
                if (address.any.sa_family && !address_refusal(&prober->config.policy, &address.any))
                        return text;
        }
        return workload->n_addresses ? workload->addresses[0] : NULL;
}

/* NULL: none is known. What it was asked of is remembered: looking for it again takes a walk. */
static const char *address_of(struct probe *probe) {
        struct prober *prober = probe->prober;
        const struct workload *workload = NULL;

        if (prober->hooks.workload)
                workload = prober->hooks.workload(
                                probe->slug, probe->workload, prober->hooks.userdata);
        if (!workload || !text_equal(probe->workload, workload->id)) {
                free(probe->workload);
                probe->workload = workload ? strdup(workload->id) : NULL;
        }
        return workload ? pick_address(prober, workload) : NULL;
}

int prober_run_start(struct probe *probe) {
        _cleanup_(freep) struct prober_run *run = calloc(1, sizeof(*run));
        const char *host = host_of(probe), *address = NULL;
        char target[PROBE_TARGET_MAX + 1];
        int r;

        if (!run)
                return -ENOMEM;
        if (probe_asks_vm(&probe->config, host))
                address = address_of(probe);
        if (address)
                (void) snprintf(run->address, sizeof(run->address), "%s", address);
        r = probe_url(&probe->config, host, address, target);
        if (r < 0)
                return r == -ENOENT ? -EDESTADDRREQ : -EINVAL;
        run->probe = probe;
        run->begin_us = clock_monotonic_us();
        run->at_us = clock_realtime_us();
        run->timeout_s = probe->config.timeout_s;
        r = curl_glue_start(probe->prober->curl,
                        &(struct curl_request){
                                        .url = target,
                                        .own_connection = true,
                                        .timeout_us = run->timeout_s * USEC_PER_SEC,
                                        .on_data = on_data,
                                        .on_done = on_done,
                                        .on_easy = on_easy,
                                        .userdata = run,
                        },
                        &run->call);
        if (r < 0)
                return r;
        probe->run = TAKE_PTR(run);
        return 0;
}

struct prober_run *prober_run_cancel(struct prober_run *run) {
        if (!run)
                return NULL;
        run->call = curl_call_cancel(run->call);
        free(run);
        return NULL;
}
