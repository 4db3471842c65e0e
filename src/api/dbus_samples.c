/* Samples: the ring that is asked for, and the newest of each workload for those who subscribed.
 * They are told one by one, to nobody else: per second and workload is too much to broadcast. A bus
 * that does not read costs one mark a workload; what it missed is in the ring. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/sampler.h"
#include "virtwatch/virtwatch.h"

#define SIGNALS_A_TURN 256

/* What dbus-daemon holds for its receivers counts as its sender's, and at 127 MiB it reads no more
 * from that. With all subscribers there can be (256) it stays well below. */
#define UNREAD_MAX (256U << 10)

static int append_sample(sd_bus_message *message, const struct sample *sample) {
        return sd_bus_message_append(message, "tddd", sample->at_us, (double) sample->cpu_percent,
                        (double) sample->memory_percent, (double) sample->disk_percent);
}

int dbus_reply_samples(struct dbus *dbus, sd_bus_message *message, const struct ring *ring,
                sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const size_t n = ring ? ring_size(ring) : 0;
        uint64_t since_us;
        int r;

        r = sd_bus_message_read(message, "t", &since_us);
        if (r >= 0)
                r = dbus_may_reply(dbus, message, n * 4 * sizeof(uint64_t), error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(tddd)");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                if (ring_at(ring, i)->at_us <= since_us)
                        continue;
                r = sd_bus_message_open_container(reply, 'r', "tddd");
                if (r >= 0)
                        r = append_sample(reply, ring_at(ring, i));
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- who reads ---- */

static int read_unread(sd_bus_message *reply, uint32_t *ret_bytes) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &name);
                if (r >= 0 && strcmp(name, "OutgoingBytes") == 0)
                        return sd_bus_message_read(reply, "v", "u", ret_bytes);
                if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : -ENODATA;
}

/* A bus that does not say, or not to us, is taken at its word: dbus-broker throws off by itself who
 * does not read. */
static int on_unread(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct dbus_subscriber *subscriber = userdata;
        uint32_t bytes = 0;
        bool full;

        subscriber->asked = sd_bus_slot_unref(subscriber->asked);
        if (sd_bus_message_is_method_error(reply, NULL) || read_unread(reply, &bytes) < 0)
                bytes = 0;
        full = bytes > UNREAD_MAX;
        if (full != subscriber->full)
                log_debug("%s %s samples, %u bytes wait for it", subscriber->name,
                                full ? "gets no more" : "gets", bytes);
        subscriber->full = full;
        return 0;
}

void dbus_subscribers_look(struct dbus *dbus) {
        uint64_t now_us = clock_monotonic_us();
        struct dbus_subscriber *subscriber;

        if (now_us < dbus->looked_us + USEC_PER_SEC)
                return;
        dbus->looked_us = now_us;
        list_for_each(subscriber, &dbus->subscribers, list) {
                if (subscriber->asked || subscriber->uid < 0)
                        continue;
                (void) sd_bus_call_method_async(dbus->bus, &subscriber->asked,
                                "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                "org.freedesktop.DBus.Debug.Stats", "GetConnectionStats", on_unread,
                                subscriber, "s", subscriber->name);
        }
}

/* ---- the signal ---- */

static int tell(struct dbus *dbus, const char *name, const char *path,
                const struct sample *sample) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(dbus->bus, &message, path, VW_INTERFACE_WORKLOAD, "Sample");
        if (r >= 0)
                r = append_sample(message, sample);
        return r < 0 ? r : sd_bus_send_to(dbus->bus, message, name, NULL);
}

/* Return: how many were told. */
static unsigned int tell_all(struct dbus *dbus, const char *id) {
        const struct series *series =
                        dbus->api->sampler ? sampler_get(dbus->api->sampler, id) : NULL;
        const struct sample *sample = series ? ring_newest(&series->ring) : NULL;
        _cleanup_(freep) char *path = sample ? dbus_workload_path(id) : NULL;
        struct dbus_subscriber *subscriber;
        unsigned int n = 0;
        int r = 0;

        if (!path)
                return 0; /* gone meanwhile, or no memory */
        list_for_each(subscriber, &dbus->subscribers, list) {
                if (subscriber->uid < 0 || subscriber->full)
                        continue; /* not let in yet, or it would only pile up */
                r = tell(dbus, subscriber->name, path, sample);
                if (r < 0)
                        log_debug_errno(r, "Cannot tell %s a sample: %m", subscriber->name);
                n++;
        }
        return n;
}

bool dbus_samples_flush(struct dbus *dbus) {
        const char *id;

        for (unsigned int n = 0; n < SIGNALS_A_TURN; n += 1 + tell_all(dbus, id)) {
                if (!dbus_may_send(dbus))
                        return true;
                id = dbus_told_next_sample(dbus);
                if (!id)
                        return false;
        }
        return true;
}
