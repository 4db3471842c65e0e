/* /proc/PID/cgroup. */

#include "source/proc.h"

#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"

/* "4:memory:/docker/ID" or "0::/system.slice/…" */
static bool line_is_memory(const char *line, const char **ret_path) {
        const char *controllers = strchr(line, ':'), *path, *at;

        if (!controllers || !(path = strchr(++controllers, ':')))
                return false;
        *ret_path = path + 1;
        if (text_starts_with(line, "0::"))
                return true;
        for (at = controllers; at < path; at = at + strcspn(at, ",:") + 1)
                if (strncmp(at, "memory", 6) == 0 && (at[6] == ',' || at[6] == ':'))
                        return true;
        return false;
}

int proc_memory_cgroup(uint32_t pid, char *ret_path, size_t size) {
        _cleanup_(freep) char *text = NULL;
        const char *path, *found = NULL;
        char file[40], *line, *rest;
        int r;

        (void) snprintf(file, sizeof(file), "/proc/%u/cgroup", pid);
        r = fs_read_text(AT_FDCWD, file, 64 * 1024, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;

        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (line_is_memory(line, &path) && (!found || !text_starts_with(line, "0::")))
                        found = path; /* v1's memory hierarchy wins over v2's, which has no memory
                                         controller then */
        if (!found || strlen(found) >= size)
                return -ENODATA;
        memcpy(ret_path, found, strlen(found) + 1);
        return 0;
}
