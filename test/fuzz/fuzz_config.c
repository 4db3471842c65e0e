/* A configuration file is read to its end, with complaints that have a line each; what was read can
 * be checked, shown and freed. A secret (here: ${secret.200}) is in neither complaints nor what is
 * shown. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/json.h"
#include "daemon/config_keys.h"

#define SECRET    "Zu7-not-to-be-seen-9q"
#define SECRET_FD 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The folder of credentials is that of our descriptors, so that nothing is left behind. */
static void make_secret(void) {
        _cleanup_(fd_closep) int fd = memfd_create("secret", MFD_CLOEXEC);
        const ssize_t n = (ssize_t) strlen(SECRET);

        if (fcntl(SECRET_FD, F_GETFD) >= 0)
                return;
        if (fd < 0 || write(fd, SECRET, strlen(SECRET)) != n ||
                        fcntl(fd, F_DUPFD_CLOEXEC, SECRET_FD) != SECRET_FD)
                return;
        (void) setenv("CREDENTIALS_DIRECTORY", "/proc/self/fd", 1);
}

static void check_faults(const struct config_faults *faults, const char *path) {
        for (size_t i = 0; i < faults->n; i++) {
                const struct diag *diag = &faults->items[i].diag;

                assert(faults->items[i].error == -EINVAL);
                assert(diag->line > 0 && diag->column > 0 && diag->text[0]);
                assert(strcmp(diag->path, path) == 0);
                assert(!strstr(diag->text, SECRET));
        }
}

static void check_bounds(const struct config *config, bool has_faults) {
        assert(config->evidence_wait_us <= 5 * USEC_PER_SEC);
        assert(config->connections_max >= 16 && config->connections_max <= 65536);
        assert(config->sse_readers_max >= 1 && config->sse_readers_max <= 65536);
        assert(config->listen.n <= CONFIG_LISTENERS_MAX);
        assert(config->libvirt.uris.n <= CONFIG_URIS_MAX || has_faults);
}

static void check_shown(const struct config *config) {
        _cleanup_(json_putp) struct json_object *shown = config_to_json(config);

        assert(shown && json_object_array_length(shown) == config_key_count());
        assert(!strstr(json_text(shown), SECRET));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_done) struct config config = {};
        _cleanup_(fd_closep) int fd = -EBADF;
        _cleanup_(config_faults_done) struct config_faults faults = {};
        char path[32];
        int r;

        if (size > 16384 || memmem(data, size, SECRET, strlen(SECRET)))
                return 0; /* what people write openly is quoted */
        make_secret();
        fd = memfd_create("config", MFD_CLOEXEC);
        if (fd < 0 || write(fd, data, size) != (ssize_t) size || config_init(&config) < 0)
                return 0;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

        r = config_file_read(&config, path, &faults);
        assert(r == 0);
        check_faults(&faults, path);
        check_bounds(&config, faults.n > 0);
        assert(config_check(&config, &faults) == 0);
        check_shown(&config);
        return 0;
}
