#pragma once
/* A timer of the loop that is made once, off, and armed again and again. */

#include <systemd/sd-event.h>

#include "base/macro.h"

/** Make one, off. Caller frees with sd_event_source_disable_unref(). Return: 0; negative errno. */
int timer_new(sd_event *event, sd_event_time_handler_t handler, void *userdata,
                sd_event_source **ret_timer);
/** Let it go off once, @after_us from now (CLOCK_MONOTONIC). */
int timer_arm(sd_event_source *timer, uint64_t after_us);
void timer_off(sd_event_source *timer);
