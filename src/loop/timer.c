/* One-shot timers on CLOCK_MONOTONIC. */

#include "loop/timer.h"

#define ACCURACY_US 1000

int timer_new(sd_event *event, sd_event_time_handler_t handler, void *userdata,
                sd_event_source **ret_timer) {
        sd_event_source *timer;
        int r;

        r = sd_event_add_time(event, &timer, CLOCK_MONOTONIC, USEC_INFINITY, ACCURACY_US, handler,
                        userdata);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(timer, SD_EVENT_OFF);
        if (r < 0) {
                sd_event_source_disable_unref(timer);
                return r;
        }
        *ret_timer = timer;
        return 0;
}

int timer_arm(sd_event_source *timer, uint64_t after_us) {
        int r;

        r = sd_event_source_set_time_relative(timer, after_us);
        return r < 0 ? r : sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void timer_off(sd_event_source *timer) {
        (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}
