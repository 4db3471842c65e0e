/* libcurl's multi socket interface on sd-event. on_done is called from a deferred source, so that
 * nothing of a transfer is freed while libcurl is inside it. */

#include "loop/curl_glue.h"

#include <string.h>

#include "base/buf.h"
#include "base/list.h"

struct curl_glue {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        sd_event_source *reap; /* deferred: deliver what has ended */
        struct list calls;
        size_t n_waiting;
        struct curl_watch watch;
};

struct curl_call {
        struct list list;
        struct curl_glue *glue;
        struct curl_request request; /* only the callbacks and limits are used after the start */
        CURL *easy;
        struct curl_slist *headers;
        struct buf body;
        CURLcode code; /* once it has ended */
        int error;     /* from a callback */
        bool told_headers;
        void *mark;              /* of the watch; NULL: it is not told */
        struct curl_watch watch; /* valid with a mark */
        bool waiting;            /* to be given to libcurl as soon as it can take it */
};

static int check_ended(struct curl_glue *glue) {
        return sd_event_source_set_enabled(glue->reap, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct curl_glue *glue = userdata;
        int running;

        (void) curl_multi_socket_action(glue->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        (void) check_ended(glue);
        return 0;
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *userdata) {
        struct curl_glue *glue = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(glue->timer, (uint64_t) timeout_ms * USEC_PER_MSEC) <
                        0)
                return -1;
        return sd_event_source_set_enabled(glue->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct curl_glue *glue = userdata;
        int running, action = 0;

        action |= events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? CURL_CSELECT_IN : 0;
        action |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
        (void) curl_multi_socket_action(glue->multi, fd, action, &running);
        (void) check_ended(glue);
        return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *userdata, void *assigned) {
        struct curl_glue *glue = userdata;
        sd_event_source *source = assigned;
        uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0U) |
                        (what & CURL_POLL_OUT ? EPOLLOUT : 0U);

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                (void) curl_multi_assign(glue->multi, fd, NULL);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(glue->event, &source, fd, events, on_socket, glue) < 0)
                return -1;
        (void) sd_event_source_set_description(source, "curl-socket");
        return curl_multi_assign(glue->multi, fd, source) == CURLM_OK ? 0 : -1;
}

static struct curl_call *call_free(struct curl_call *call) {
        if (!call)
                return NULL;
        if (call->mark)
                call->watch.cancelled(call->mark, call->watch.userdata);
        list_remove(&call->list);
        call->glue->n_waiting -= call->waiting;
        if (call->easy) {
                (void) curl_multi_remove_handle(call->glue->multi, call->easy);
                curl_easy_cleanup(call->easy);
        }
        curl_slist_free_all(call->headers);
        buf_done(&call->body);
        free(call);
        return NULL;
}
DEFINE_FREEP(struct curl_call, call_free);

static int error_of(const struct curl_call *call, CURLcode code) {
        long os_error = 0;

        if (call->error < 0)
                return call->error;
        switch (code) {
        case CURLE_OK:
                return 0;
        case CURLE_OPERATION_TIMEDOUT:
                return -ETIMEDOUT;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_COULDNT_CONNECT:
                (void) curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
                return os_error > 0 ? -(int) os_error : -ECONNREFUSED;
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_PARTIAL_FILE:
        case CURLE_HTTP2_STREAM:
                return -ECONNRESET;
        default:
                return -EPROTO;
        }
}

static void call_end(struct curl_call *call, int error, long status) {
        void *mark = TAKE_PTR(call->mark);

        if (mark)
                call->watch.done(mark, call, error, status, call->watch.userdata);
        call->request.on_done(call, error, status, call->body.data ? call->body.data : "",
                        call->body.size, call->request.userdata);
        if (mark)
                call->watch.over(mark, call->watch.userdata);
        call_free(call);
}

static struct curl_call *first_waiting(struct curl_glue *glue) {
        struct curl_call *call;

        list_for_each(call, &glue->calls, list)
                if (call->waiting)
                        return call;
        return NULL;
}

static int on_reap(sd_event_source *source, void *userdata) {
        struct curl_glue *glue = userdata;
        struct curl_call *waiting;
        CURLMsg *message;
        int left;

        while (glue->n_waiting > 0 && (waiting = first_waiting(glue))) {
                waiting->waiting = false;
                glue->n_waiting--;
                waiting->code = CURLE_OUT_OF_MEMORY;
                if (curl_multi_add_handle(glue->multi, waiting->easy) != CURLM_OK)
                        call_end(waiting, -ENOMEM, 0);
        }
        while ((message = curl_multi_info_read(glue->multi, &left))) {
                struct curl_call *call = NULL;
                CURLcode code = message->data.result;
                long status = 0;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
                call->code = code;
                call_end(call, error_of(call, code), status);
        }
        return 0;
}

int curl_glue_new(sd_event *event, struct curl_glue **ret_glue) {
        _cleanup_(curl_glue_freep) struct curl_glue *glue = NULL;
        int r;

        glue = calloc(1, sizeof(*glue));
        if (!glue)
                return -ENOMEM;

        list_init(&glue->calls);
        glue->event = sd_event_ref(event);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        glue->multi = curl_multi_init();
        if (!glue->multi)
                return -ENOMEM;

        r = sd_event_add_time(
                        event, &glue->timer, CLOCK_MONOTONIC, USEC_INFINITY, 1000, on_timer, glue);
        if (r >= 0)
                r = sd_event_source_set_enabled(glue->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &glue->reap, on_reap, glue);
        if (r >= 0)
                r = sd_event_source_set_enabled(glue->reap, SD_EVENT_OFF);
        if (r < 0)
                return r;

        (void) curl_multi_setopt(glue->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
        (void) curl_multi_setopt(glue->multi, CURLMOPT_SOCKETDATA, glue);
        (void) curl_multi_setopt(glue->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
        (void) curl_multi_setopt(glue->multi, CURLMOPT_TIMERDATA, glue);
        *ret_glue = TAKE_PTR(glue);
        return 0;
}

struct curl_glue *curl_glue_free(struct curl_glue *glue) {
        struct curl_call *call;

        if (!glue)
                return NULL;

        while ((call = list_first(&glue->calls, struct curl_call, list)))
                call_free(call);
        (void) curl_multi_cleanup(glue->multi);
        sd_event_source_disable_unref(glue->timer);
        sd_event_source_disable_unref(glue->reap);
        sd_event_unref(glue->event);
        free(glue);
        return NULL;
}

static size_t on_write(char *data, size_t size, size_t n, void *userdata) {
        struct curl_call *call = userdata;
        int r;

        n *= size;
        if (call->request.on_data) {
                r = call->request.on_data(call, data, n, call->request.userdata);
        } else {
                r = buf_append(&call->body, data, n);
                if (r == -ENOSPC)
                        r = -EFBIG;
        }
        if (r < 0) {
                call->error = r;
                return 0;
        }
        return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        struct curl_call *call = userdata;
        bool last = n * size <= 2; /* the empty line */
        long status = 0;
        int r;

        if (!last || call->told_headers || !call->request.on_headers)
                return n * size;
        (void) curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status < 200)
                return n * size;
        call->told_headers = true;
        r = call->request.on_headers(call, status, call->request.userdata);
        if (r < 0) {
                call->error = r;
                return 0;
        }
        return n * size;
}

/* NOLINTNEXTLINE(readability-function-cognitive-complexity): a table of options */
static int set_options(struct curl_call *call, const struct curl_request *request) {
        CURL *easy = call->easy;
        CURLcode code = CURLE_OK;
        long timeout_ms = (long) (request->timeout_us / USEC_PER_MSEC) +
                        (request->timeout_us % USEC_PER_MSEC > 0); /* never 0, which is none */

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)
        SET(CURLOPT_URL, request->url);
        SET(CURLOPT_PRIVATE, call);
        SET(CURLOPT_WRITEFUNCTION, on_write);
        SET(CURLOPT_WRITEDATA, call);
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, call);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_TIMEOUT_MS, timeout_ms);
        if (request->unix_socket)
                SET(CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
        if (request->http2_prior_knowledge)
                SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
        if (request->own_connection) {
                SET(CURLOPT_FRESH_CONNECT, 1L);
                SET(CURLOPT_FORBID_REUSE, 1L);
        }
        if (request->body) {
                SET(CURLOPT_POSTFIELDSIZE, (long) request->body_size);
                SET(CURLOPT_COPYPOSTFIELDS, request->body);
        }
        if (request->method)
                SET(CURLOPT_CUSTOMREQUEST, request->method);
        for (size_t i = 0; request->headers && request->headers[i]; i++) {
                struct curl_slist *more = curl_slist_append(call->headers, request->headers[i]);

                if (!more)
                        return -ENOMEM;
                call->headers = more;
        }
        SET(CURLOPT_HTTPHEADER, call->headers);
#undef SET
        return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

void curl_glue_watch(struct curl_glue *glue, const struct curl_watch *watch) {
        glue->watch = watch ? *watch : (struct curl_watch){};
}

int curl_glue_start(struct curl_glue *glue, const struct curl_request *request,
                struct curl_call **ret_call) {
        _cleanup_(call_freep) struct curl_call *call = NULL;
        CURLMcode code;
        int r;

        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;

        call->glue = glue;
        call->request = *request;
        call->body.max = request->body_max;
        list_init(&call->list);
        call->easy = curl_easy_init();
        if (!call->easy)
                return -ENOMEM;
        r = set_options(call, request);
        if (r >= 0 && request->on_easy)
                r = request->on_easy(call->easy, request->userdata);
        if (r < 0)
                return r;
        code = curl_multi_add_handle(glue->multi, call->easy);
        if (code == CURLM_RECURSIVE_API_CALL) { /* within on_data of another call */
                r = check_ended(glue);
                if (r < 0)
                        return r;
                call->waiting = true;
                glue->n_waiting++;
        } else if (code != CURLM_OK) {
                return -ENOMEM;
        }

        if (glue->watch.begun && request->timeout_us > 0 && !request->unwatched) {
                call->watch = glue->watch;
                call->mark = glue->watch.begun(request, glue->watch.userdata);
        }
        list_append(&glue->calls, &call->list);
        if (ret_call)
                *ret_call = call;
        call = NULL;
        return 0;
}

struct curl_call *curl_call_cancel(struct curl_call *call) {
        return call_free(call);
}

CURLcode curl_call_result(const struct curl_call *call) {
        return call->code;
}

CURL *curl_call_easy(struct curl_call *call) {
        return call->easy;
}

const char *curl_call_field(struct curl_call *call, const char *name) {
        struct curl_header *header;

        if (curl_easy_header(call->easy, name, 0, CURLH_HEADER | CURLH_TRAILER, -1, &header) !=
                        CURLHE_OK)
                return NULL;
        return header->value;
}
