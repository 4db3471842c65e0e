/* org.freedesktop.LogControl1: how much is logged, and where to. The words are syslog's, so that
 * `systemctl service-log-level` works; "trace", which syslog has not, reads as debug. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/log.h"
#include "virtwatch/virtwatch.h"

#define LOG_PATH      "/org/freedesktop/LogControl1"
#define LOG_INTERFACE "org.freedesktop.LogControl1"

static const struct {
        const char *word;
        enum log_level level;
} levels[] = {
        /* The word to be read comes first. */
        { "err", LOG_LEVEL_ERROR },
        { "emerg", LOG_LEVEL_ERROR },
        { "alert", LOG_LEVEL_ERROR },
        { "crit", LOG_LEVEL_ERROR },
        { "warning", LOG_LEVEL_WARN },
        { "info", LOG_LEVEL_INFO },
        { "notice", LOG_LEVEL_INFO },
        { "debug", LOG_LEVEL_DEBUG },
        { "debug", LOG_LEVEL_TRACE },
};

DBUS_PROPERTY(log_level) {
        enum log_level level = log_get_level();
        size_t i = 0;

        while (levels[i].level != level)
                i++;
        return sd_bus_message_append(reply, "s", levels[i].word);
}

DBUS_PROPERTY(log_target) {
        return sd_bus_message_append(
                        reply, "s", log_get_target() == LOG_TARGET_JOURNAL ? "journal" : "console");
}

DBUS_PROPERTY(syslog_identifier) {
        return dbus_append_text(reply, program_invocation_short_name);
}

static int apply_level(const char *word, sd_bus_error *error) {
        for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
                if (strcmp(levels[i].word, word) == 0) {
                        log_set_level(levels[i].level);
                        return 0;
                }
        }
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "LogLevel is emerg, alert, crit, err, warning, notice, info or debug, not '%.64s'",
                        word);
}

/* The console keeps its form, JSON or text. */
static int apply_target(const char *word, sd_bus_error *error) {
        static const char *const others[] = { "kmsg", "journal-or-kmsg", "syslog", "syslog-or-kmsg",
                "auto", "null" };

        if (strcmp(word, "journal") == 0) {
                log_set_target(LOG_TARGET_JOURNAL);
                return 0;
        }
        if (strcmp(word, "console") == 0) {
                if (log_get_target() == LOG_TARGET_JOURNAL)
                        log_set_target(LOG_TARGET_TEXT);
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                if (strcmp(others[i], word) == 0) {
                        return sd_bus_error_setf(error, VW_ERROR_NOT_SUPPORTED,
                                        "virtwatchd logs to the journal or the console, not to %s",
                                        word);
                }
        }
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "LogTarget is journal or console, not '%.64s'", word);
}

static int then_set(struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        const char *interface = "", *name = "", *value = "";
        int r;

        r = sd_bus_message_rewind(message, true);
        if (r >= 0)
                r = sd_bus_message_read(message, "ssv", &interface, &name, "s", &value);
        if (r == -ENXIO)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "%s is a text", name);
        if (r >= 0)
                r = strcmp(name, "LogLevel") == 0 ? apply_level(value, error)
                                                  : apply_target(value, error);
        return r < 0 ? r : sd_bus_reply_method_return(message, "");
}

/* A vtable's setter cannot wait for the bus to say who asks; this comes before it. */
static int on_set(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface, *name;
        int r;

        if (!sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Properties", "Set"))
                return 0;
        r = sd_bus_message_read(message, "ss", &interface, &name);
        if (r < 0)
                return r;
        if (strcmp(interface, LOG_INTERFACE) != 0 ||
                        (strcmp(name, "LogLevel") != 0 && strcmp(name, "LogTarget") != 0))
                return 0;
        return dbus_call_ask(userdata, message, "org.virtwatch1.reload", then_set, error);
}

/* Says that the property can be written; on_set() has dealt with all that could come here. */
static int set_refused(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *value, void *userdata, sd_bus_error *error) {
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "Only root may do that");
}

static const sd_bus_vtable log_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", property_log_level, set_refused, 0,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", property_log_target, set_refused, 0,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", property_syslog_identifier, 0,
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int dbus_log_export(struct dbus *dbus) {
        int r;

        r = sd_bus_add_object(dbus->bus, NULL, LOG_PATH, on_set, dbus);
        return r < 0 ? r
                     : sd_bus_add_object_vtable(
                                       dbus->bus, NULL, LOG_PATH, LOG_INTERFACE, log_vtable, dbus);
}
