/* A configuration file is read whole or refused with a complaint that has a line; what was read may
 * be freed either way. */

#include <sys/mman.h>

#include "daemon/config_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_done) struct config config = {};
        _cleanup_(fd_closep) int fd = -EBADF;
        struct diag diag = {};
        char path[32];
        int r;

        if (size > 16384)
                return 0;
        fd = memfd_create("config", MFD_CLOEXEC);
        if (fd < 0 || write(fd, data, size) != (ssize_t) size || config_init(&config) < 0)
                return 0;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

        r = config_file_load(&config, path, &diag);
        assert(r == 0 || r == -EINVAL);
        assert(r == 0 || (diag.line > 0 && diag.column > 0 && diag.text[0]));
        assert(config.evidence_wait_us <= 5 * USEC_PER_SEC);
        assert(config.connections_max >= 16 && config.connections_max <= 65536);
        assert(config.sse_readers_max >= 1 && config.sse_readers_max <= 65536);
        assert(config.listen.n <= CONFIG_LISTENERS_MAX);
        assert(config.libvirt.uris.n <= CONFIG_URIS_MAX || r < 0);
        return 0;
}
