/* Defaults, and the order in which file, conf.d, environment and credentials are laid over them. */

#include "daemon/config.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "daemon/config_apps.h"
#include "daemon/config_keys.h"
#include "daemon/config_secret.h"
#include "virtwatch/virtwatch.h"

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

const char *config_host_name(char host[static CONFIG_HOST_MAX]) {
        char name[CONFIG_HOST_MAX] = "";

        if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
                (void) snprintf(name, sizeof(name), "localhost");
        text_fit(host, CONFIG_HOST_MAX, name);
        return host;
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
                .connections_per_address = 256,
                .tls = { .lifetime_us = UINT64_C(90) * 86400 * USEC_PER_SEC },
                .sse_readers_max = 2048,
                .log_level = LOG_LEVEL_INFO,
                .log_target = LOG_TARGET_AUTO,
                .request_log = API_REQUEST_LOG_INFO,
        };
        char host[CONFIG_HOST_MAX];

        new.origins = calloc(config_key_count(), sizeof(new.origins[0]));
        new.node_name = strdup(config_host_name(host));
        new.state_dir = strdup(VW_STATE_DIR_DEFAULT);
        new.docker.socket = strdup("/run/docker.sock");
        new.podman.socket = strdup("/run/podman/podman.sock");
        new.containerd.socket = strdup("/run/containerd/containerd.sock");
        new.bus = strdup("system");
        new.kernel.from = strdup("auto");
        new.kernel.socket = strdup(VW_KMSG_SOCKET_DEFAULT);
        new.kernel.journal_dir = strdup("");
        new.units.address = strdup("");
        new.machined.address = strdup("");
        new.oomd.address = strdup("");
        new.probes.user_agent = strdup(CONFIG_USER_AGENT);
        new.probes.ca_file = strdup("");
        new.web_config = strdup("");
        new.tls.certificate = strdup("");
        new.tls.key = strdup("");
        new.tls.client_ca = strdup("");
        new.tls.client_auth = strdup("require");
        if (!new.kernel.socket || !new.web_config || !new.tls.certificate || !new.tls.key ||
                        !new.tls.client_ca || !new.tls.client_auth)
                return -ENOMEM;
        if (!new.origins || !new.node_name || !new.state_dir || !new.docker.socket ||
                        !new.podman.socket || !new.containerd.socket || !new.bus ||
                        !new.kernel.from || !new.kernel.journal_dir || !new.units.address ||
                        !new.machined.address || !new.oomd.address || !new.probes.user_agent ||
                        !new.probes.ca_file)
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
        for (size_t i = 0; config->origins && i < config_key_count(); i++)
                free(config->origins[i].path);
        free(config->origins);
        free(config->node_name);
        free(config->state_dir);
        free(config->docker.socket);
        free(config->podman.socket);
        free(config->containerd.socket);
        free(config->kernel.from);
        free(config->kernel.socket);
        free(config->kernel.journal_dir);
        free(config->units.address);
        free(config->machined.address);
        free(config->oomd.address);
        free(config->probes.user_agent);
        free(config->probes.ca_file);
        config_list_clear(&config->probes.allow);
        config_list_clear(&config->probes.deny);
        config_list_clear(&config->unit_patterns);
        free(config->web_config);
        free(config->tls.certificate);
        free(config->tls.key);
        free(config->tls.client_ca);
        free(config->tls.client_auth);
        config_list_clear(&config->tls.names);
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

/* ---- layers ---- */

/* A file with a secret in it that others may read is refused (RELIABILITY B, secrets). */
static int check_mode(const char *path, const char *key, struct config_faults *faults) {
        struct diag diag = {};
        struct stat st;

        (void) snprintf(diag.path, sizeof(diag.path), "%s", path);
        if (stat(path, &st) < 0)
                return config_faults_add(faults, -errno, &diag);
        if ((st.st_mode & 0037) == 0)
                return 0;
        diag_set(&diag, 0, 0,
                        "it holds %s and others may read it; chmod 0640 or less, or use a credential",
                        key);
        return config_faults_add(faults, -EACCES, &diag);
}

/* One file, which, if it holds a secret, must be kept from others. */
static int load_file(struct config *config, const char *path, struct config_faults *faults) {
        int r;

        config->layer = CONFIG_FILE;
        r = config_file_read(config, path, faults);
        for (size_t i = 0; r >= 0 && i < config_key_count(); i++) {
                const struct config_key *key = config_key_at(i);
                const struct config_origin *origin = config_key_origin(config, key);

                if (key->flags & CONFIG_KEY_SECRET && origin->layer == CONFIG_FILE &&
                                !origin->secret && text_equal(origin->path, path))
                        r = check_mode(path, key->name, faults);
        }
        return r;
}

static int on_glob_error(const char *path, int error) {
        return error != ENOENT && error != ENOTDIR;
}

static int load_conf_d(struct config *config, const char *path, struct config_faults *faults) {
        _cleanup_(freep) char *pattern = NULL;
        struct diag diag = {};
        const char *slash = strrchr(path, '/');
        glob_t found = {};
        int r;

        if (asprintf(&pattern, "%.*s/conf.d/*.yaml", slash ? (int) (slash - path) : 1,
                            slash ? path : ".") < 0)
                return -ENOMEM;

        r = glob(pattern, 0, on_glob_error, &found);
        if (r == GLOB_NOSPACE)
                return -ENOMEM;
        if (r == GLOB_ABORTED) {
                (void) snprintf(diag.path, sizeof(diag.path), "%s", pattern);
                r = config_faults_add(faults, -errno, &diag);
        } else {
                r = 0;
        }
        for (size_t i = 0; r >= 0 && i < found.gl_pathc; i++)
                r = load_file(config, found.gl_pathv[i], faults);
        globfree(&found);
        return r;
}

/* "events.oom_rule" as a variable: VIRTWATCH_EVENTS__OOM_RULE. @dot: what stands for a dot. */
static const char *variable_of(const char *key, const char *dot, char *text, size_t size) {
        size_t n = (size_t) snprintf(text, size, "VIRTWATCH_");

        for (; *key && n + strlen(dot) + 1 < size; key++) {
                if (*key == '.') {
                        n += (size_t) snprintf(text + n, size - n, "%s", dot);
                        continue;
                }
                text[n++] = (char) (*key >= 'a' && *key <= 'z' ? *key - 'a' + 'A' : *key);
        }
        text[n] = '\0';
        return text;
}

/* With one underscore where two should be it would be passed over as somebody else's. */
static int check_near_variable(const char *variable, struct diag *diag) {
        const size_t n = strcspn(variable, "=");
        char text[192];

        for (size_t i = 0; i < config_key_count(); i++) {
                const char *name = config_key_at(i)->name;

                (void) variable_of(name, "_", text, sizeof(text));
                if (strlen(text) != n || strncmp(text, variable, n) != 0)
                        continue;
                diag_set(diag, 0, 0, "two underscores stand for the dot of '%s'; did you mean %s?",
                                name, variable_of(name, "__", text, sizeof(text)));
                return -EINVAL;
        }
        return 0; /* VIRTWATCH_HOST, VIRTWATCH_TOKEN: the client's */
}

static int unknown_variable(const char *key, struct diag *diag) {
        const char *near = config_key_suggest(key);
        char text[192];

        if (near) {
                diag_set(diag, 0, 0, "there is no key '%s'; did you mean %s?", key,
                                variable_of(near, "__", text, sizeof(text)));
        } else {
                diag_set(diag, 0, 0, "there is no key '%s'", key);
        }
        return -EINVAL;
}

/* VIRTWATCH_EVENTS__OOM_RULE is events.oom_rule: two underscores are a dot. */
static int load_variable(struct config *config, const char *variable, struct diag *diag) {
        const struct config_key *found;
        char key[128];
        const char *c = variable + strlen("VIRTWATCH_");
        size_t n = 0;

        (void) snprintf(diag->path, sizeof(diag->path), "%.*s", (int) strcspn(variable, "="),
                        variable);
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
                return check_near_variable(variable, diag);
        found = *c == '=' ? config_key_find(key) : NULL; /* else longer than any of ours */
        return found ? config_key_set(config, found, c + 1, diag) : unknown_variable(key, diag);
}

static int load_environment(struct config *config, struct config_faults *faults) {
        int r = 0;

        config->layer = CONFIG_ENVIRONMENT;
        for (char **variable = environ; r >= 0 && *variable; variable++) {
                struct diag diag = {};

                if (!text_starts_with(*variable, "VIRTWATCH_"))
                        continue;
                r = load_variable(config, *variable, &diag);
                if (r == -EINVAL)
                        r = config_faults_add(faults, r, &diag);
        }
        return r;
}

static int load_credential(struct config *config, struct config_faults *faults) {
        _cleanup_(freep) char *text = NULL;
        struct diag diag = {};
        int r;

        config->layer = CONFIG_CREDENTIAL;
        r = config_secret_read("virtwatch.token", &text, &diag);
        if (r == -ENOENT)
                return 0;
        if (r >= 0) {
                (void) snprintf(diag.path, sizeof(diag.path), "%s/virtwatch.token",
                                getenv("CREDENTIALS_DIRECTORY"));
                r = config_key_set_raw(config, config_key_find("http.token"), text, &diag);
        }
        return r < 0 && r != -ENOMEM ? config_faults_add(faults, r, &diag) : r;
}

int config_read(struct config *config, const char *path, bool may_miss,
                struct config_faults *faults) {
        int r = 0;

        if (path && !(may_miss && access(path, F_OK) < 0 && errno == ENOENT))
                r = load_file(config, path, faults);
        if (path && r >= 0)
                r = load_conf_d(config, path, faults);
        if (r >= 0)
                r = load_environment(config, faults);
        if (r >= 0)
                r = load_credential(config, faults);
        config->layer = CONFIG_OPTION; /* what comes now, by config_set() */
        return r < 0 ? r : 0;
}

int config_load(struct config *config, const char *path, struct diag *diag) {
        _cleanup_(config_faults_done) struct config_faults faults = {};
        int r;

        r = config_read(config, path, false, &faults);
        if (r >= 0)
                r = config_check(config, &faults);
        if (r < 0 || faults.n == 0)
                return r;
        *diag = faults.items[0].diag;
        return faults.items[0].error;
}
