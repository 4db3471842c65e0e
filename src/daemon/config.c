/* Defaults, and the order in which file, conf.d, environment and credentials are laid over them. */

#include "daemon/config.h"

#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "daemon/config_apps.h"
#include "daemon/config_keys.h"
#include "model/address.h"
#include "model/ring.h"
#include "virtwatch/virtwatch.h"

#define TOKEN_MAX 4096

static int list_of(struct config_list *list, const char *a, const char *b) {
        list->items[0] = strdup(a);
        if (!list->items[0])
                return -ENOMEM;
        list->n = 1;
        if (!b)
                return 0;
        list->items[1] = strdup(b);
        if (!list->items[1])
                return -ENOMEM;
        list->n = 2;
        return 0;
}

static int list_words(struct config_list *list, const char *const *words, size_t n) {
        for (; list->n < n; list->n++) {
                list->items[list->n] = strdup(words[list->n]);
                if (!list->items[list->n])
                        return -ENOMEM;
        }
        return 0;
}

static int init_node(struct config *config) {
        static const char *const types[] = { "ext[234]", "xfs", "btrfs", "f2fs", "zfs", "bcachefs",
                "jfs", "nilfs2", "reiserfs", "vfat", "exfat", "ntfs3" };
        static const char *const nets[] = { "lo", "veth*", "vnet*", "tap*", "macvtap*", "cali*",
                "lxc*" };
        static const char *const disks[] = { "loop*", "ram*", "zram*", "fd[0-9]*", "sr[0-9]*",
                "[hsv]d*[0-9]", "xvd*[0-9]", "nvme*p[0-9]*", "mmcblk*p[0-9]*" };
        int r;

        r = list_words(&config->file_systems, types, ARRAY_SIZE(types));
        if (r >= 0)
                r = list_words(&config->ignore_interfaces, nets, ARRAY_SIZE(nets));
        if (r >= 0)
                r = list_words(&config->ignore_disks, disks, ARRAY_SIZE(disks));
        return r;
}

int config_init(struct config *config) {
        _cleanup_(config_done) struct config new = {
                .oom_rule = OOM_RULE_EXIT_137,
                .evidence_wait_us = 250 * USEC_PER_MSEC,
                .actions.timeout_us = 30 * USEC_PER_SEC,
                .sample_interval_us = USEC_PER_SEC,
                .sample_ring_us = 30 * USEC_PER_SEC,
                .compat = API_COMPAT_BOTH,
                .balloon_us = 5 * USEC_PER_SEC,
                .guest_us = 30 * USEC_PER_SEC,
                .retention_age_us = UINT64_C(30) * 86400 * USEC_PER_SEC,
                .retention_bytes = UINT64_C(1) << 30,
                .libvirt = { .enabled = true },
                .docker = { .enabled = true },
                .podman = { .enabled = true },
                .containerd = { .enabled = true },
                .kernel = { .enabled = true },
                .units = { .enabled = true },
                .machined = { .enabled = true },
                .oomd = { .enabled = true },
                .probes = { .enabled = true },
                .analytics = { .enabled = true,
                                .history = true,
                                .retention_days = 400,
                                .hosts_max = 10000 },
                .connections_max = 4096,
                .sse_readers_max = 2048,
                .log_level = LOG_LEVEL_INFO,
                .log_target = LOG_TARGET_AUTO,
        };
        char host[256] = "localhost";

        (void) gethostname(host, sizeof(host) - 1);
        new.node_name = strdup(host);
        new.state_dir = strdup(VW_STATE_DIR_DEFAULT);
        new.docker.socket = strdup("/run/docker.sock");
        new.podman.socket = strdup("/run/podman/podman.sock");
        new.containerd.socket = strdup("/run/containerd/containerd.sock");
        new.bus = strdup("system");
        new.kernel.from = strdup("auto");
        new.kernel.journal_dir = strdup("");
        new.units.address = strdup("");
        new.machined.address = strdup("");
        new.oomd.address = strdup("");
        new.probes.user_agent = strdup("virtwatch/" VIRTWATCH_VERSION);
        new.probes.ca_file = strdup("");
        if (!new.node_name || !new.state_dir || !new.docker.socket || !new.podman.socket ||
                        !new.containerd.socket || !new.bus || !new.kernel.from ||
                        !new.kernel.journal_dir || !new.units.address || !new.machined.address ||
                        !new.oomd.address || !new.probes.user_agent || !new.probes.ca_file)
                return -ENOMEM;
        if (list_of(&new.libvirt.uris, "qemu:///system", NULL) < 0 ||
                        list_of(&new.listen, VW_HTTP_ADDRESS_DEFAULT,
                                        "unix:" VW_HTTP_SOCKET_DEFAULT) < 0 ||
                        init_node(&new) < 0)
                return -ENOMEM;

        *config = new;
        new = (struct config){}; /* NOLINT(clang-analyzer-deadcode.DeadStores): read by _cleanup_ */
        return 0;
}

void config_done(struct config *config) {
        free(config->node_name);
        free(config->state_dir);
        free(config->docker.socket);
        free(config->podman.socket);
        free(config->containerd.socket);
        free(config->kernel.from);
        free(config->kernel.journal_dir);
        free(config->units.address);
        free(config->machined.address);
        free(config->oomd.address);
        free(config->probes.user_agent);
        free(config->probes.ca_file);
        config_list_clear(&config->probes.allow);
        config_list_clear(&config->probes.deny);
        config_list_clear(&config->unit_patterns);
        free(config->token);
        free(config->bus);
        free(config->bus_address);
        config_list_clear(&config->libvirt.uris);
        config_list_clear(&config->containerd_namespaces);
        config_list_clear(&config->listen);
        config_list_clear(&config->cors_origins);
        config_list_clear(&config->file_systems);
        config_list_clear(&config->ignore_interfaces);
        config_list_clear(&config->ignore_disks);
        config_list_clear(&config->analytics.files);
        config_list_clear(&config->analytics.listen);
        config_apps_clear(config);
        *config = (struct config){};
}

int config_set(struct config *config, const char *key, const char *value, struct diag *diag) {
        const struct config_key *found = config_key_find(key);

        if (!found)
                return config_unknown_key(key, diag);
        return config_key_set(config, found, value, diag);
}

/* A file with a secret in it that others may read is refused (RELIABILITY B, secrets). */
static int check_mode(const char *path, struct diag *diag) {
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if ((st.st_mode & 0037) == 0)
                return 0;
        diag_set(diag, 0, 0,
                        "it holds http.token and others may read it; chmod 0640 or less, or use a credential");
        return -EACCES;
}

/* One file, whose token, if it has one, is kept from others. */
static int load_file(struct config *config, const char *path, struct diag *diag) {
        char *before = TAKE_PTR(config->token);
        int r;

        r = config_file_load(config, path, diag);
        if (!config->token) {
                config->token = before;
                return r;
        }
        free(before);
        return r < 0 ? r : check_mode(path, diag);
}

static int load_conf_d(struct config *config, const char *path, struct diag *diag) {
        _cleanup_(freep) char *pattern = NULL;
        const char *slash = strrchr(path, '/');
        glob_t found = {};
        int r;

        if (asprintf(&pattern, "%.*s/conf.d/*.yaml", slash ? (int) (slash - path) : 1,
                            slash ? path : ".") < 0)
                return -ENOMEM;

        r = glob(pattern, 0, NULL, &found);
        if (r == GLOB_NOSPACE)
                return -ENOMEM;
        r = 0;
        for (size_t i = 0; r >= 0 && i < found.gl_pathc; i++)
                r = load_file(config, found.gl_pathv[i], diag);
        globfree(&found);
        return r;
}

/* VIRTWATCH_EVENTS__OOM_RULE is events.oom_rule: two underscores are a dot. */
static int load_variable(struct config *config, const char *variable, struct diag *diag) {
        char key[128];
        const char *c = variable + strlen("VIRTWATCH_");
        size_t n = 0;

        for (; *c && *c != '=' && n + 1 < sizeof(key); c++) {
                if (c[0] == '_' && c[1] == '_') {
                        key[n++] = '.';
                        c++;
                } else {
                        key[n++] = (char) (*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
                }
        }
        key[n] = '\0';
        if (!strchr(key, '.'))
                return 0; /* VIRTWATCH_HOST, VIRTWATCH_TOKEN: the client's */

        (void) snprintf(diag->path, sizeof(diag->path), "environment");
        if (*c != '=')
                return config_unknown_key(key, diag); /* longer than any of ours */
        return config_set(config, key, c + 1, diag);
}

static int load_credential(struct config *config, struct diag *diag) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        const char *dir = getenv("CREDENTIALS_DIRECTORY");
        size_t size;
        int r;

        if (!dir)
                return 0;
        if (asprintf(&path, "%s/virtwatch.token", dir) < 0)
                return -ENOMEM;

        r = fs_read_text(AT_FDCWD, path, TOKEN_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        (void) snprintf(diag->path, sizeof(diag->path), "%s", path);
        if (r < 0)
                return r;
        if (strlen(text) != size) {
                diag_set(diag, 0, 0, "it has a NUL in it");
                return -EINVAL;
        }
        text[strcspn(text, "\r\n")] = '\0';
        return config_set(config, "http.token", text, diag);
}

static int check_ranges(const char *key, const struct config_list *list, struct diag *diag) {
        struct address_range range;

        for (size_t i = 0; i < list->n; i++) {
                if (address_range_parse(list->items[i], &range) >= 0)
                        continue;
                diag_set(diag, 0, 0,
                                "%s has addresses and ranges such as 127.0.0.0/8 or fd00::/8, not '%s'",
                                key, list->items[i]);
                return -EINVAL;
        }
        return 0;
}

static int check_probes(const struct config *config, struct diag *diag) {
        int r;

        if (config->probes.ca_file[0] && config->probes.ca_file[0] != '/') {
                diag_set(diag, 0, 0, "probes.ca_file must be absolute, not '%s'",
                                config->probes.ca_file);
                return -EINVAL;
        }
        r = check_ranges("probes.allow", &config->probes.allow, diag);
        return r < 0 ? r : check_ranges("probes.deny", &config->probes.deny, diag);
}

static int config_check(const struct config *config, struct diag *diag) {
        if (config->libvirt.enabled && config->libvirt.uris.n == 0) {
                diag_set(diag, 0, 0,
                                "sources.libvirt.uris is empty; set sources.libvirt.enabled to false instead");
                return -EINVAL;
        }
        if (config->kernel.journal_dir[0] && config->kernel.journal_dir[0] != '/') {
                diag_set(diag, 0, 0, "sources.kernel.journal_dir must be absolute, not '%s'",
                                config->kernel.journal_dir);
                return -EINVAL;
        }
        if (config->token && strlen(config->token) < 16) {
                diag_set(diag, 0, 0, "http.token is shorter than 16 characters");
                return -EINVAL;
        }
        if (config->sample_ring_us < config->sample_interval_us ||
                        config->sample_ring_us / config->sample_interval_us > RING_SLOTS_MAX) {
                diag_set(diag, 0, 0, "sampler.ring must be from 1 to %d times sampler.interval",
                                RING_SLOTS_MAX);
                return -EINVAL;
        }
        for (size_t i = 0; i < config->analytics.files.n; i++) {
                if (config->analytics.files.items[i][0] != '/') {
                        diag_set(diag, 0, 0, "analytics.files must be absolute, not '%s'",
                                        config->analytics.files.items[i]);
                        return -EINVAL;
                }
        }
        if (config->state_dir[0] != '/') {
                diag_set(diag, 0, 0, "store.path must be absolute, not '%s'", config->state_dir);
                return -EINVAL;
        }
        return check_probes(config, diag);
}

int config_load(struct config *config, const char *path, struct diag *diag) {
        int r = 0;

        if (path) {
                r = load_file(config, path, diag);
                if (r >= 0)
                        r = load_conf_d(config, path, diag);
        }
        for (char **variable = environ; r >= 0 && *variable; variable++)
                if (text_starts_with(*variable, "VIRTWATCH_"))
                        r = load_variable(config, *variable, diag);
        if (r >= 0)
                r = load_credential(config, diag);
        if (r >= 0) {
                diag->path[0] = '\0';
                r = config_check(config, diag);
        }
        return r < 0 ? r : 0;
}
