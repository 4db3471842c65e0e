/* What all sources share. */

#include "source/source.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define SAMPLE_MAX 200

uint64_t source_backoff_next(uint64_t *wait_us) {
        uint64_t now_us = *wait_us ? *wait_us : SOURCE_BACKOFF_MIN_US;
        uint32_t random = 0;

        *wait_us = now_us * 2 < SOURCE_BACKOFF_MAX_US ? now_us * 2 : SOURCE_BACKOFF_MAX_US;
        (void) !getrandom(&random, sizeof(random), GRND_NONBLOCK);
        return now_us * 3 / 4 + random % (now_us / 2);
}

int source_init(struct source *source, const struct source_ops *ops,
                const struct source_config *config, const struct source_env *env) {
        source->ops = ops;
        source->env = env;
        source->required = config->required;
        source->controls = ops->controls;
        source->limit = (struct log_ratelimit) LOG_RATELIMIT_DEFAULT;
        source->name = strdup(config->name);
        return source->name ? 0 : -ENOMEM;
}

void source_done(struct source *source) {
        free(source->name);
        source->name = NULL;
}

void source_post(struct source *source, const struct fact *fact) {
        source->env->post(source, fact, source->env->userdata);
}

void source_post_state(struct source *source, enum source_state state, const char *error) {
        struct fact fact = FACT_INIT(FACT_SOURCE);

        fact.source_state = state;
        fact.error = error;
        source_post(source, &fact);
}

void source_answer(struct source *source, uint64_t ticket, int error, const char *text) {
        source->env->answer(source, ticket, error, text, source->env->userdata);
}

void source_malformed(struct source *source, const char *what, const char *sample, size_t size) {
        _cleanup_(freep) char *text = NULL;
        unsigned int held;

        source->stats.malformed++;
        if (!log_ratelimit_pass(&source->limit, clock_monotonic_us(), &held))
                return;
        (void) text_sanitize(sample, size, SAMPLE_MAX, &text);
        log_with(LOG_LEVEL_WARN, FIELDS({ "VIRTWATCH_SOURCE", source->name }),
                        "%s from %s, skipped (%u before it not said): %s", what, source->name, held,
                        text ? text : "");
}
