/* The timeline of an app, for who is woken by it: a line for each day, below it rows of time,
 * severity, what happened, to whom, and the whole sentence, which is never cut. */

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cells.h"
#include "cli/cli.h"

static const char *color_of(const struct cli *cli, const char *severity) {
        if (!cli->color)
                return "";
        if (strcmp(severity, "error") == 0)
                return "\033[1;31m";
        return strcmp(severity, "warning") == 0 ? "\033[33m" : "";
}

static const char *text_at(struct json_object *event, const char *name) {
        const char *text = json_get_string(event, name);

        return text ? text : "";
}

static bool is_same_day(const struct tm *a, const struct tm *b) {
        return a->tm_year == b->tm_year && a->tm_yday == b->tm_yday;
}

const char *print_near_day(const struct tm *tm, time_t now_s) {
        struct tm now = {};

        (void) localtime_r(&now_s, &now);
        if (is_same_day(tm, &now))
                return " (today)";
        /* not 24 hours before: where the clocks change a day has 23 or 25 */
        now.tm_mday--;
        now.tm_hour = 12;
        now.tm_isdst = -1;
        (void) mktime(&now);
        return is_same_day(tm, &now) ? " (yesterday)" : "";
}

static void print_day(struct timeline_printer *printer, const struct tm *tm) {
        char day[sizeof(printer->day)];

        (void) strftime(day, sizeof(day), "%a %Y-%m-%d", tm);
        if (strcmp(day, printer->day) == 0)
                return;
        (void) printf("%s%s%s\n", printer->day[0] ? "\n" : "", day,
                        print_near_day(tm, (time_t) (clock_realtime_us() / USEC_PER_SEC)));
        memcpy(printer->day, day, sizeof(day));
}

/* Whom it happened to goes without saying where it is the app itself. */
static void print_row(const struct timeline_printer *printer, struct json_object *event,
                const char *time) {
        const char *severity = text_at(event, "severity"), *name = text_at(event, "name"),
                   *color = color_of(printer->cli, severity);
        const bool same = strcmp(name, printer->slug) == 0;
        _cleanup_(freep) char *level = cells_pad(severity, 7),
                              *action = cells_pad(text_at(event, "action"), 18),
                              *who = cells_pad(same ? "" : name, 16),
                              *message = text_escape_terminal(text_at(event, "message"));

        if (!level || !action || !who || !message)
                return;
        (void) printf("  %s  %s%s  %s%s  %s  %s%s\n", time, color, level, action,
                        color[0] ? "\033[0m" : "", who, message, print_synthetic(event));
}

void print_timeline(struct timeline_printer *printer, struct json_object *event) {
        const char *stamp = json_get_string(event, "timestamp"),
                   *warning = json_get_string(event, "warning");
        uint64_t time_us;
        struct tm tm = {};
        time_t time_s;
        char time[16];

        if (printer->cli->json) {
                print_json(event);
                return;
        }
        if (stamp && clock_parse_rfc3339(stamp, &time_us) >= 0) {
                time_s = (time_t) (time_us / USEC_PER_SEC);
                (void) localtime_r(&time_s, &tm);
                (void) strftime(time, sizeof(time), "%H:%M:%S", &tm);
                print_day(printer, &tm);
                print_row(printer, event, time);
        } else if (warning) {
                _cleanup_(freep) char *shown = text_escape_terminal(warning);

                (void) printf("-- %s --\n", shown ? shown : "");
        }
        (void) fflush(stdout);
}
