/* A web configuration is taken whole or refused with a place; what is taken keeps its promises. */

#include <string.h>

#include "api/password.h"
#include "daemon/web_config.h"

#define PATH "/w/web.yml"

static void check_pem(const struct web_pem *pem) {
        assert(!pem->path || pem->path[0] == '/');
        assert((pem->text != NULL) == (pem->line > 0));
        assert(!pem->text || (pem->path && strcmp(pem->path, PATH) == 0));
        assert(!pem->text || strstr(pem->text, "-----BEGIN "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct web_config config = {};
        struct diag diag = {};
        int r;

        if (size > 8192)
                return 0;
        r = web_config_parse(&config, PATH, (const char *) data, size, &diag);
        assert(r == 0 || r == -EINVAL);
        assert((r == 0) == (config.web != NULL));
        assert((r == 0) == (diag.text[0] == '\0'));
        if (r < 0)
                return 0;
        assert(!config.has_tls || (config.certificate.path && config.key.path));
        check_pem(&config.certificate);
        check_pem(&config.key);
        check_pem(&config.client_ca);
        assert(config.min_version >= 2 && config.min_version <= config.max_version &&
                        config.max_version <= 3);
        for (size_t i = 0; i < config.web->n_users; i++)
                assert(password_hash_is_good(config.web->users[i].hash));
        for (size_t i = 0; i < config.web->n_headers; i++)
                assert(!strpbrk(config.web->headers[i].value, "\r\n"));
        web_config_done(&config);
        return 0;
}
