#pragma once
/* The daemon's settings: plain data, filled from the file, conf.d, the environment and the options
 * in that order, checked before the manager exists, read-only afterwards. One table of key, parser
 * and offset drives all of it. */

#include "api/api.h"
#include "base/diag.h"
#include "base/log.h"
#include "daemon/config_faults.h"
#include "engine/tracer.h"
#include "model/access_line.h"
#include "model/exit.h"

struct app;

#define CONFIG_URIS_MAX      16
#define CONFIG_LISTENERS_MAX 8
#define CONFIG_PATTERNS_MAX  64
#define CONFIG_TLS_NAMES_MAX 16
#define CONFIG_LOGS_MAX      64
#define CONFIG_DAYS_MAX      36500

struct config_list {
        char *items[CONFIG_PATTERNS_MAX];
        size_t n;
};

struct config_runtime {
        bool enabled;
        bool required;
        char *socket; /* path */
};

/* A service on the system bus. */
struct config_peer {
        bool enabled; /* default true */
        bool required;
        char *address; /* of the bus; "" (default): the system bus */
};

/* Where a value came from; the later ones win. */
enum config_layer {
        CONFIG_DEFAULT,
        CONFIG_FILE, /* with conf.d */
        CONFIG_ENVIRONMENT,
        CONFIG_CREDENTIAL,
        CONFIG_OPTION, /* the command line */
        CONFIG_LAYER_MAX_
};

struct config_origin {
        enum config_layer layer;
        bool secret; /* one went into the value: it is not to be shown */
        char *path;  /* of the file or credential; or the variable, or the option; NULL: default */
        unsigned int line, column; /* of files */
};

struct json_object;

struct config {
        struct config_origin *origins; /* private: by index of the key; see config_key_origin() */
        enum config_layer layer;       /* private: what is being read */

        char *node_name; /* node.name; default, also for "": the host's name */
        /* Patterns of glob(7), a list each. */
        struct config_list file_systems; /* node.file_systems: types that are looked at; default:
                                            those of local disks */
        struct config_list ignore_interfaces; /* node.ignore_interfaces; default: the host's ends of
                                                 guests' and containers' interfaces */
        struct config_list ignore_disks; /* node.ignore_disks; default: partitions, loop, RAM */
        char *state_dir;                 /* store.path; default /var/lib/virtwatch */

        enum oom_rule oom_rule;    /* events.oom_rule: exit-137 (default) | evidence */
        uint64_t evidence_wait_us; /* events.evidence_wait: 0..5s, default 250ms */
        uint64_t retention_age_us; /* events.retention_age: default 30d; 0: keep */
        uint64_t retention_bytes;  /* events.retention_size: bytes, or with K M G; default 1G; 0: no
                                      limit */

        struct {
                bool enabled; /* sources.libvirt.enabled, default true */
                bool required;
                bool write; /* sources.libvirt.write: read-write connection, default false */
                struct config_list uris; /* sources.libvirt.uris, default [qemu:///system] */
        } libvirt;
        struct config_runtime
                        docker; /* sources.docker.{enabled,required,socket}: /run/docker.sock */
        struct config_runtime podman; /* /run/podman/podman.sock */
        struct config_runtime
                        containerd; /* sources.containerd.…: /run/containerd/containerd.sock */
        struct config_list containerd_namespaces; /* sources.containerd.namespaces: globs; default
                                                     none: all but moby, which is docker's */
        struct {
                bool enabled; /* sources.kernel.enabled, default true: the kernel's OOM lines */
                char *from;   /* sources.kernel.from: auto (default) | journal | kmsg; auto is
                                 the journal where journald runs, else kmsg */
                char *socket; /* sources.kernel.socket: of virtwatch-kmsg; "": /dev/kmsg is read
                                 here; default VW_KMSG_SOCKET_DEFAULT */
                char *journal_dir; /* sources.kernel.journal_dir: read the journal files there; "":
                                      the system's journal */
        } kernel;
        struct config_peer units;         /* sources.units.{enabled,required,address} */
        struct config_list unit_patterns; /* sources.units.patterns: globs of unit names; default
                                             none: no unit is watched */
        struct config_peer machined;      /* sources.machined.{enabled,required,address} */
        struct config_peer oomd; /* sources.oomd.{enabled,required,address}: systemd-oomd's kills */

        struct {
                bool enabled;             /* probes.enabled, default true; false: kept, not run */
                struct config_list allow; /* probes.allow: ranges of addresses that are opened:
                                             loopback, metadata services; default none */
                struct config_list deny;  /* probes.deny: ranges that are closed; default none */
                char *user_agent;         /* probes.user_agent; default, also for "":
                                             virtwatch/VERSION */
                char *ca_file; /* probes.ca_file: certificates to trust; "" (default): the
                                  system's */
        } probes;

        struct {
                bool enabled;        /* actions.enabled, default false: stop, destroy and scale
                                        workloads */
                uint64_t timeout_us; /* actions.timeout: 1s..10min, default 30s */
        } actions;

        uint64_t sample_interval_us; /* sampler.interval: 100ms..1h, default 1s */
        uint64_t sample_ring_us;     /* sampler.ring: how far back, default 30s; at most 3600
                                        intervals */
        uint64_t balloon_us; /* sampler.balloon_period: how often guests report their memory;
                                1s..1h, default 5s; set where sources.libvirt.write */
        uint64_t guest_us;   /* sampler.guest_period: how often guest agents are asked for file
                                systems   and addresses, and images looked at; 1s..1h, default 30s;
                                agents where   sources.libvirt.write */

        char *web_config;       /* metrics.web_config: of the exporter toolkit, for listeners that
                                   serve metrics and not the API; "" (default): none */
        enum api_compat compat; /* metrics.compat: both (default) | inovex | tinkoff | off */

        struct {
                bool enabled; /* analytics.enabled, default true; nothing is done without logs */
                struct config_list files;  /* analytics.files: Caddy's JSON access logs, with what
                                              rotation lays beside them; default none */
                struct config_list listen; /* analytics.listen: loopback addresses or unix:PATH for
                                              Caddy's net writer; default none */
                bool history; /* analytics.history, default true: also count what lay beside the
                                 files when they were first met */
                unsigned int retention_days; /* analytics.retention_days: 0..36500, default 400; 0:
                                                keep */
                unsigned int hosts_max; /* analytics.hosts_max: rows of one day, 1..1000000, default
                                           10000; what comes after is "_other" */
                enum access_duration duration; /* analytics.duration: auto (default) | s | ms | ns,
                                                  of durations that are integers */
        } analytics;

        struct {
                struct app **items; /* apps: in files only; one a slug, the last file's wins */
                size_t n;           /* at most APPS_MAX */
        } apps;

        struct config_list listen; /* http.listen, default [127.0.0.1:9887,
                                      unix:/run/virtwatch/http.sock] */
        char *token;               /* http.token, or credential virtwatch.token; NULL, set by "":
                                      none */
        struct config_list
                        cors_origins; /* http.cors_origins, default none: "https://panel.example" */
        struct {
                char *certificate; /* http.tls.certificate: PEM, with the chain; "" (default): one
                                      of our own making */
                char *key;         /* http.tls.key; "" (default): in the certificate's file */
                char *client_ca;   /* http.tls.client_ca: who must have signed clients'
                                      certificates; "" (default): none is asked for */
                char *client_auth; /* http.tls.client_auth: require (default) | if-given */
                struct config_list names; /* http.tls.names: more names and addresses for our own
                                             certificate; default none */
                uint64_t lifetime_us;     /* http.tls.lifetime: of our own certificate, 10s..825d,
                                             default 90d */
        } tls;
        unsigned int connections_max;         /* http.connections_max: 16..65536, default 4096 */
        unsigned int connections_per_address; /* http.connections_per_address: 0..65536, default
                                                 256; 0: any number */
        unsigned int sse_readers_max;         /* http.sse_readers_max: 1..65536, default 2048 */

        char *bus;         /* dbus.bus: system (default) | user | none */
        char *bus_address; /* dbus.address; wins over bus; NULL, set by "": none */

        enum log_level log_level;         /* logging.level */
        enum log_target log_target;       /* logging.format: auto | text | json | journal */
        enum api_request_log request_log; /* logging.requests: info (default) | debug | off */
        enum tracer_kind tracing; /* logging.tracing: off (default) | OpenTelemetry | Jaeger */
};

/** Fill with defaults. Return: 0; -ENOMEM. */
int config_init(struct config *config);
void config_done(struct config *config);

/**
 * Read @path, then PATH's folder's conf.d/ *.yaml in order of name, then VIRTWATCH_SECTION__KEY of
 * the environment, then $CREDENTIALS_DIRECTORY/virtwatch.token.
 *
 * @path:     NULL: only environment and credentials
 * @may_miss: @path may not be there, and its conf.d is read alone; else that is -ENOENT. A file
 *            that is out of reach is an error either way
 * @faults:   all that is wrong with it; one fault does not end the reading
 *
 * Return: 0, also if there are faults; -ENOMEM.
 */
int config_read(struct config *config, const char *path, bool may_miss,
                struct config_faults *faults);
/** What keys mean together, to be called when all is read. Errors as config_read(). */
int config_check(const struct config *config, struct config_faults *faults);
/**
 * Both of these, where the first fault will do.
 *
 * Return: 0; -EINVAL with @diag (unknown and duplicate keys, values out of range, with a suggestion
 * for a near miss); -ENOENT, -EACCES … with diag->path set.
 */
int config_load(struct config *config, const char *path, struct diag *diag);

/** Set one key from text, as the environment and --set KEY=VALUE do. Return: 0; -EINVAL with @diag.
 */
int config_set(struct config *config, const char *key, const char *value, struct diag *diag);

/** Every key as people see it: an array of {"key","value","default","origin":{…},"secret",
 * "reload"}, in the table's order; no secret in it. Caller puts; NULL: no memory. */
struct json_object *config_to_json(const struct config *config);
