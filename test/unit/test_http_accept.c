/* Accept and Accept-Encoding as clients really write them, and as they may not. */

#include "api/http_accept.h"
#include "test.h"

static void openmetrics_is_for_who_wants_it_no_less_than_text(void **state) {
        static const struct {
                const char *accept;
                bool openmetrics;
        } cases[] = {
                { NULL, false },
                { "", false },
                { "*/*", false },
                { "text/plain", false },
                { "application/*", false },
                { "application/openmetrics-text", true },
                { "APPLICATION/OpenMetrics-Text", true },
                { "application/openmetrics-text; version=1.0.0; charset=utf-8", true },
                { "application/openmetrics-text;version=\"1.0.0\"", true },
                { "application/openmetrics-text;version=0.0.1", false },
                { "application/openmetrics-text;version=2.0.0", false },
                { "application/openmetrics-text;q=0", false },
                { "application/openmetrics-text;q=0.000", false },
                { "application/openmetrics-text;q=0.001", true },
                { "application/openmetrics-text;q=2", false },
                { "application/openmetrics-text;q=x", false },
                { "application/openmetrics-text-2", false },
                { "text/plain;q=0.5, application/openmetrics-text;q=0.4", false },
                { "text/plain;q=0.5, application/openmetrics-text;q=0.5", true },
                { " ,, application/openmetrics-text ; q=0.6\t, text/plain;q=0.5", true },
                { "x/y;z=\"a,application/openmetrics-text\"", false },
                /* Prometheus 2.42 and 2.5 */
                { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                                true },
                { "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                                false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (http_accepts_openmetrics(cases[i].accept) != cases[i].openmetrics)
                        fail_msg("%s: not %d", cases[i].accept, cases[i].openmetrics);
}

static void gzip_is_for_who_allows_it(void **state) {
        static const struct {
                const char *accept_encoding;
                bool gzip;
        } cases[] = {
                { NULL, false },
                { "", false },
                { "gzip", true },
                { "GZip", true },
                { "x-gzip", true },
                { "deflate, gzip, br", true },
                { "gzip;q=1.0, identity; q=0.5, *;q=0", true },
                { "gzip;q=0", false },
                { "gzip;q=0, *", false },
                { "*", true },
                { "*;q=0", false },
                { "deflate, br", false },
                { "identity", false },
                { "identity;q=1, gzip;q=0.5", false },
                { "gzipped", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (http_accepts_gzip(cases[i].accept_encoding) != cases[i].gzip)
                        fail_msg("%s: not %d", cases[i].accept_encoding, cases[i].gzip);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(openmetrics_is_for_who_wants_it_no_less_than_text),
                cmocka_unit_test(gzip_is_for_who_allows_it),
        };

        return RUN_TESTS(tests);
}
