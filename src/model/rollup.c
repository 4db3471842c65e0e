/* Lines come host by host and day by day, more or less: the set remembers where the last one went.
 */

#include "model/rollup.h"

#include <limits.h>
#include <string.h>

#include "base/map.h"

struct rollup_set {
        struct map *hosts; /* of struct rollup_host */
        struct rollup_host *last_host;
        uint64_t lines;
        size_t rows, size;
};

int rollup_set_new(struct rollup_set **ret_set) {
        struct rollup_set *set;
        int r;

        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        r = map_new(&set->hosts);
        if (r < 0) {
                free(set);
                return r;
        }
        *ret_set = set;
        return 0;
}

void rollup_done(struct rollup *rollup) {
        latency_done(&rollup->latency);
}

static void host_free(struct rollup_host *host) {
        struct rollup *next;

        for (struct rollup *day = host->days; day; day = next) {
                next = day->next;
                rollup_done(day);
                free(day);
        }
        latency_done(&host->live.latency);
        free(host);
}

struct rollup_set *rollup_set_free(struct rollup_set *set) {
        struct rollup_host *host;

        if (!set)
                return NULL;
        map_for_each(host, set->hosts)
                host_free(host);
        map_free(set->hosts);
        free(set);
        return NULL;
}

static int get_host(struct rollup_set *set, const char *name, struct rollup_host **ret_host) {
        struct rollup_host *host = set->last_host;
        int r;

        if (!name[0])
                name = ROLLUP_OTHER;
        if (host && strcmp(host->name, name) == 0) {
                *ret_host = host;
                return 0;
        }
        host = map_get(set->hosts, name);
        if (!host) {
                host = calloc(1, sizeof(*host));
                if (!host)
                        return -ENOMEM;
                memcpy(host->name, name, strlen(name) + 1);
                r = map_put(set->hosts, host->name, host);
                if (r < 0) {
                        free(host);
                        return r;
                }
                set->size += sizeof(*host);
        }
        *ret_host = set->last_host = host;
        return 0;
}

static int get_day(struct rollup_set *set, struct rollup_host *host, uint32_t number,
                struct rollup **ret_day) {
        struct rollup *day;

        for (day = host->days; day; day = day->next)
                if (day->day == number)
                        break;
        if (!day) {
                day = calloc(1, sizeof(*day));
                if (!day)
                        return -ENOMEM;
                day->day = number;
                day->next = host->days;
                host->days = day;
                set->rows++;
                set->size += sizeof(*day);
        }
        *ret_day = day;
        return 0;
}

static void add_status(struct rollup_live *live, unsigned int status, uint64_t requests) {
        size_t i;

        for (i = 0; i < live->n_statuses; i++)
                if (live->statuses[i].status == status)
                        break;
        if (i == ROLLUP_STATUS_ROOM)
                i--;
        if (i == live->n_statuses) {
                live->n_statuses++;
                live->statuses[i].status = i + 1 < ROLLUP_STATUS_ROOM ? status : UINT_MAX;
        }
        live->statuses[i].requests += requests;
}

static enum rollup_error error_of(unsigned int status) {
        switch (status) {
        case 0:
                return ROLLUP_ABORTED;
        case 502:
                return ROLLUP_BAD_GATEWAY;
        case 503:
                return ROLLUP_UNAVAILABLE;
        case 504:
                return ROLLUP_TIMEOUT;
        default:
                return ROLLUP_SERVER_ERROR;
        }
}

const char *rollup_error_to_string(enum rollup_error error) {
        static const char *const words[ROLLUP_ERROR_MAX_] = {
                [ROLLUP_ABORTED] = "aborted",
                [ROLLUP_BAD_GATEWAY] = "bad_gateway",
                [ROLLUP_UNAVAILABLE] = "unavailable",
                [ROLLUP_TIMEOUT] = "timeout",
                [ROLLUP_SERVER_ERROR] = "server_error",
        };

        return words[error];
}

static int add_live(
                struct rollup_set *set, struct rollup_live *live, const struct access_line *line) {
        size_t before = latency_size(&live->latency);
        int r;

        if (line->has_duration) {
                r = latency_add(&live->latency, line->duration_ns);
                if (r < 0)
                        return r;
                set->size += latency_size(&live->latency) - before;
                histogram_observe(&live->duration, line->duration_ns / NSEC_PER_USEC);
        }
        add_status(live, line->status, 1);
        live->requests++;
        if (line->status == 0 || line->status >= 500)
                live->errors[error_of(line->status)]++;
        return 0;
}

static uint64_t add_capped(uint64_t a, uint64_t b) {
        return b > (uint64_t) INT64_MAX - a ? (uint64_t) INT64_MAX : a + b;
}

int rollup_set_add(struct rollup_set *set, const struct access_line *line, uint64_t now_us) {
        bool live = line->time_us + ROLLUP_LIVE_US >= now_us;
        struct rollup_host *host = NULL;
        struct rollup *day = NULL;
        size_t before;
        int r;

        r = get_host(set, line->host, &host);
        if (r >= 0)
                r = get_day(set, host, (uint32_t) (line->time_us / ROLLUP_DAY_US), &day);
        if (r >= 0 && line->has_duration) {
                before = latency_size(&day->latency);
                r = latency_add(&day->latency, line->duration_ns);
                set->size += latency_size(&day->latency) - before;
        }
        if (r < 0)
                return r;
        if (live && add_live(set, &host->live, line) >= 0)
                host->has_live = true;
        day->requests++;
        day->classes[line->status / 100]++;
        day->bytes_out = add_capped(day->bytes_out, line->bytes_out);
        set->lines++;
        return 0;
}

uint64_t rollup_set_lines(const struct rollup_set *set) {
        return set->lines;
}

size_t rollup_set_size(const struct rollup_set *set) {
        return set->size;
}

size_t rollup_set_rows(const struct rollup_set *set) {
        return set->rows;
}

int rollup_set_each(const struct rollup_set *set,
                int (*each)(const struct rollup_host *host, void *userdata), void *userdata) {
        struct rollup_host *host;
        int r = 0;

        map_for_each(host, set->hosts) {
                if (!host->days)
                        continue; /* there was no memory for one */
                r = each(host, userdata);
                if (r < 0)
                        break;
        }
        return r;
}

int rollup_merge(struct rollup *rollup, const struct rollup *from) {
        int r;

        r = latency_merge(&rollup->latency, &from->latency);
        if (r < 0)
                return r;
        rollup->requests += from->requests;
        for (size_t i = 0; i < ROLLUP_CLASS_MAX_; i++)
                rollup->classes[i] += from->classes[i];
        rollup->bytes_out = add_capped(rollup->bytes_out, from->bytes_out);
        return 0;
}

int rollup_live_merge(struct rollup_live *live, const struct rollup_live *from) {
        int r;

        r = latency_merge(&live->latency, &from->latency);
        if (r < 0)
                return r;
        for (size_t i = 0; i < from->n_statuses; i++)
                add_status(live, from->statuses[i].status, from->statuses[i].requests);
        live->requests += from->requests;
        for (size_t i = 0; i < ROLLUP_ERROR_MAX_; i++)
                live->errors[i] += from->errors[i];
        live->duration.count += from->duration.count;
        live->duration.sum_us += from->duration.sum_us;
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
                live->duration.buckets[i] += from->duration.buckets[i];
        return 0;
}
