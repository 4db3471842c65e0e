#pragma once
/* The answer of GET /api/v1/workloads as rows that can be sorted and shown. Nothing in it is taken
 * to be of the type it should be. */

#include "base/json.h"

enum rows_key {
        ROWS_BY_NAME,
        ROWS_BY_STATE, /* what asks for attention first: failed, paused, stopping, starting … */
        ROWS_BY_CPU,   /* the largest first, what is not known last; also the two below */
        ROWS_BY_MEMORY,
        ROWS_BY_DISK,
        ROWS_KEY_MAX_,
};

/* What is used of what was given, in this order in row.percent. */
enum rows_usage {
        ROWS_CPU,
        ROWS_MEMORY,
        ROWS_DISK,
        ROWS_USAGE_MAX_,
};

struct row {
        struct json_object *json; /* holds the texts; "" for what is not there */
        const char *id, *name, *kind, *runtime, *state, *action, *reason;
        double percent[ROWS_USAGE_MAX_]; /* NaN: not known, as below */
        double vcpus, memory_mb;
};

/** Words: "name" "state" "cpu" "mem" "disk". From text: -EINVAL for other words. */
const char *rows_key_to_string(enum rows_key key);
int rows_key_from_string(const char *text);

/** Read @workloads; what is no object in it is left out. Caller frees with rows_free(). Return: 0;
 * -EINVAL it is no array; -ENOMEM. */
int rows_read(struct json_object *workloads, struct row **ret_rows, size_t *ret_n);
void rows_free(struct row *rows, size_t n);
/** Rows that are equal by @key are sorted by name, then by id. */
void rows_sort(struct row *rows, size_t n, enum rows_key key);
/** @workloads in another order, as a new array. Caller puts. Errors as rows_read(). */
int rows_sorted(struct json_object *workloads, enum rows_key key, struct json_object **ret_sorted);

/** The number at @path, NaN where there is none. */
double rows_number(struct json_object *object, const char *path);

#define ROWS_PERCENT_MAX 32 /* bytes, with NUL */
/** "12.3", or "-" where it is not known. Return: @text. */
const char *rows_percent(double percent, char text[static ROWS_PERCENT_MAX]);

#define ROWS_AMOUNT_MAX 32 /* bytes, with NUL */
/** "0.5", "2048", or "-" where it is not known. Return: @text. */
const char *rows_amount(double amount, char text[static ROWS_AMOUNT_MAX]);
