/* Never half a result: a line of ours names a process or two cgroups; anything else leaves nothing.
 */

#include <string.h>

#include "model/oom_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct oom_line line;
        int r;

        if (size > 16384)
                return 0;
        r = oom_line_parse((const char *) data, size, &line);
        assert((r == 0) == (line.type == OOM_LINE_NONE));
        assert(strlen(line.comm) < OOM_COMM_MAX);
        assert(line.type != OOM_LINE_SUMMARY || (line.pid && line.task_cgroup[0] == '/'));
        assert(line.type != OOM_LINE_KILL || line.pid);
        assert(line.type != OOM_LINE_GROUP || line.task_cgroup[0] == '/');
        assert(line.type != OOM_LINE_TASK_IN || (line.oom_cgroup[0] && line.task_cgroup[0]));
        return 0;
}
