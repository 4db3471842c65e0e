/* /proc/PID: cgroup, stat, net/dev. */

#include "source/proc.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
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

/* A threaded group of v2, such as libvirt's for a VM's threads, has no memory of its own: its
 * threads use that of the domain above (cgroup-v2.rst, Threads). */
static int leave_threaded(char *path) {
        char file[4096], *slash;
        int r;

        while ((slash = strrchr(path, '/')) && slash != path) {
                _cleanup_(freep) char *type = NULL;

                if (snprintf(file, sizeof(file), "/sys/fs/cgroup%s/cgroup.type", path) >=
                                (int) sizeof(file))
                        return 0;
                r = fs_read_text(AT_FDCWD, file, 64, &type, NULL);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !text_starts_with(type, "threaded"))
                        return 0; /* also where there is no v2 */
                *slash = '\0';
        }
        return 0;
}

int proc_memory_cgroup(uint32_t pid, char *ret_path, size_t size) {
        _cleanup_(freep) char *text = NULL;
        const char *path, *found = NULL;
        char file[40], *line, *rest;
        bool is_v2 = false;
        int r;

        (void) snprintf(file, sizeof(file), "/proc/%u/cgroup", pid);
        r = fs_read_text(AT_FDCWD, file, 64 * 1024, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;

        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                if (!line_is_memory(line, &path) || (found && text_starts_with(line, "0::")))
                        continue;
                found = path; /* v1's memory hierarchy wins over v2's, which has no memory
                                 controller then */
                is_v2 = text_starts_with(line, "0::");
        }
        if (!found || strlen(found) >= size)
                return -ENODATA;
        memcpy(ret_path, found, strlen(found) + 1);
        return is_v2 ? leave_threaded(ret_path) : 0;
}

int proc_read_process(uint32_t pid, struct stats *stats) {
        _cleanup_(freep) char *text = NULL;
        unsigned long long user, system, start;
        char file[40], *after;
        long long rss;
        int r;

        (void) snprintf(file, sizeof(file), "/proc/%u/stat", pid);
        r = fs_read_text(AT_FDCWD, file, 64 * 1024, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;

        after = strrchr(text, ')'); /* the command's name may hold anything */
        if (!after ||
                        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
                        sscanf(after + 1,
                                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu "
                                        "%*d %*d %*d %*d %*d %*d %llu %*u %lld",
                                        &user, &system, &start, &rss) != 4)
                return -EBADMSG;
        stats->user_ns = user * (UINT64_C(1000000000) / (uint64_t) sysconf(_SC_CLK_TCK));
        stats->system_ns = system * (UINT64_C(1000000000) / (uint64_t) sysconf(_SC_CLK_TCK));
        stats->cpu_ns = stats->user_ns + stats->system_ns;
        stats->life = start;
        if (rss >= 0)
                stats->memory_bytes = (uint64_t) rss * (uint64_t) sysconf(_SC_PAGESIZE);
        return 0;
}

/* "  eth0: RBYTES RPACKETS RERRS RDROP FIFO FRAME COMPRESSED MULTICAST TBYTES TPACKETS TERRS TDROP
 * …". The names are whoever's the namespace is: any bytes but blanks, '/' and ':'. */
void proc_parse_net_dev(const char *text, struct stats *stats) {
        unsigned long long rx[4], tx[4];
        char raw[64], name[sizeof(((struct stats_net *) NULL)->name)];

        for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
                struct stats_net *net;

                /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
                if (sscanf(line,
                                    " %63[^: \n]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu "
                                    "%llu",
                                    raw, &rx[0], &rx[1], &rx[2], &rx[3], &tx[0], &tx[1], &tx[2],
                                    &tx[3]) != 9 ||
                                strcmp(raw, "lo") == 0)
                        continue;
                text_fit(name, sizeof(name), raw);
                if (stats_find_net(stats, name)) { /* nobody could tell the two apart */
                        stats->devices_refused++;
                        continue;
                }
                net = stats_add_net(stats, name);
                if (!net)
                        continue;
                net->rx_bytes = rx[0];
                net->rx_packets = rx[1];
                net->rx_errors = rx[2];
                net->rx_drops = rx[3];
                net->tx_bytes = tx[0];
                net->tx_packets = tx[1];
                net->tx_errors = tx[2];
                net->tx_drops = tx[3];
        }
}

int proc_read_net(uint32_t pid, struct stats *stats) {
        _cleanup_(freep) char *text = NULL;
        char file[40];
        int r;

        (void) snprintf(file, sizeof(file), "/proc/%u/net/dev", pid);
        r = fs_read_text(AT_FDCWD, file, 256 * 1024, &text, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : -ESRCH;
        proc_parse_net_dev(text, stats);
        return 0;
}

int proc_start_us(uint32_t pid, uint64_t *ret_time_us) {
        uint64_t age_us, boot_us, now_us, tick_us = USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
        struct stats stats = {};
        struct timespec boot;
        int r;

        r = proc_read_process(pid, &stats);
        if (r < 0)
                return r;
        if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
                return -errno;

        now_us = clock_realtime_us();
        boot_us = (uint64_t) boot.tv_sec * USEC_PER_SEC + (uint64_t) boot.tv_nsec / NSEC_PER_USEC;
        age_us = boot_us - stats.life * tick_us;
        if (age_us > now_us)
                return -EBADMSG;
        *ret_time_us = now_us - age_us;
        return 0;
}
