#pragma once
/* libcurl's multi interface on sd-event: transfers that never block the loop. Model: systemd's
 * curl-util. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "base/macro.h"

struct curl_glue;
struct curl_call;
struct curl_request;

/* Who wants to know of transfers, all but streams: those with a timeout. */
struct curl_watch {
        /* One has begun. Return: what the others get; NULL: nothing more is told of it. */
        void *(*begun)(const struct curl_request *request, void *userdata);
        /* It has ended; @call is there to be asked for fields. Called before its on_done. */
        void (*done)(void *mark, struct curl_call *call, int error, long status, void *userdata);
        /* Its on_done has returned: nothing more is told of it. */
        void (*over)(void *mark, void *userdata);
        void (*cancelled)(void *mark, void *userdata);
        void *userdata;
};

struct curl_request {
        const char *url;
        const char *unix_socket;    /* NULL: TCP */
        const char *method;         /* NULL: GET, or POST with a body */
        const char *const *headers; /* NULL-terminated "Name: value"; may be NULL */
        const void *body;           /* copied */
        size_t body_size;
        bool http2_prior_knowledge;
        bool unwatched;      /* not told to the watch */
        bool own_connection; /* made for this transfer, closed after it; shares nothing */
        uint64_t timeout_us; /* whole transfer; 0: none (streams) */
        size_t body_max;     /* refuse longer answers when on_data is NULL */
        /* A stream: called per piece; negative ends the transfer with that error. NULL: the answer
         * is collected. */
        int (*on_data)(struct curl_call *call, const char *data, size_t size, void *userdata);
        /* Called once when the response's headers are complete; may be NULL. Negative ends the
         * transfer. */
        int (*on_headers)(struct curl_call *call, long status, void *userdata);
        /* Called once at the end, never from within curl_glue_start(). error: 0 and status, or
         * negative errno
         * (-ETIMEDOUT, -ECONNREFUSED, -ENOENT no socket, -ECONNRESET, -EFBIG, -EPROTO). body: valid
         * during the call, NUL-terminated. The call is freed afterwards. */
        void (*on_done)(struct curl_call *call, int error, long status, const char *body,
                        size_t size, void *userdata);
        /* Set what is not named above, before the start; may be NULL. Negative refuses it. */
        int (*on_easy)(CURL *easy, void *userdata);
        void *userdata;
};

int curl_glue_new(sd_event *event, struct curl_glue **ret_glue);
/** Calls still under way are dropped without on_done. */
struct curl_glue *curl_glue_free(struct curl_glue *glue);
DEFINE_FREEP(struct curl_glue, curl_glue_free);

/** Tell @watch (copied; NULL: nobody) of the transfers that begin from now on. One that was told of
 * before is told of to its end, so what it is told with must outlive the transfers. */
void curl_glue_watch(struct curl_glue *glue, const struct curl_watch *watch);

/** May be called from within any of the callbacks. Return: 0; -EINVAL; -ENOMEM. */
int curl_glue_start(struct curl_glue *glue, const struct curl_request *request,
                struct curl_call **ret_call);
/** Drop a transfer without on_done. Takes NULL; returns NULL. Not from within an
 * on_data or on_headers, whose ever. */
struct curl_call *curl_call_cancel(struct curl_call *call);

/** From on_done: libcurl's own word for how it ended; and its handle, to be asked for more, not to
 * be changed. */
CURLcode curl_call_result(const struct curl_call *call);
CURL *curl_call_easy(struct curl_call *call);

/**
 * A field of the answer's headers or of its trailers, whichever came last; from on_headers or
 * on_done. Borrowed until the call ends. NULL: there is none.
 */
const char *curl_call_field(struct curl_call *call, const char *name);
