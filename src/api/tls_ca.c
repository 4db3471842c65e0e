/* X.509 by GnuTLS. What is written is written beside and renamed, so that a power cut leaves the
 * old or the new. */

#include "api/tls_ca.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"

#define FILE_BYTES_MAX (256U << 10)
#define SECONDS_BEFORE 3600 /* clocks of clients may be late */
#define CA_SECONDS     (INT64_C(20) * 365 * 86400)
#define CA_SPARE       (INT64_C(30) * 86400) /* one that ends sooner is replaced */
#define HOST_MAX       256

struct identity {
        gnutls_x509_crt_t certificate;
        gnutls_x509_privkey_t key;
};

/* A name, or an address of 4 or 16 bytes. */
struct san {
        gnutls_x509_subject_alt_name_t type;
        unsigned int size;
        char data[HOST_MAX];
};

struct sans {
        struct san items[TLS_CA_NAMES_MAX];
        size_t n;
};

static void identity_done(struct identity *identity) {
        if (identity->certificate)
                gnutls_x509_crt_deinit(identity->certificate);
        if (identity->key)
                gnutls_x509_privkey_deinit(identity->key);
        *identity = (struct identity){};
}

static void datum_done(gnutls_datum_t *datum) {
        if (datum->data)
                gnutls_memset(datum->data, 0, datum->size);
        gnutls_free(datum->data);
        datum->data = NULL;
}

static int error_of(int r) {
        return r >= 0 ? 0 : r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
}

/* ---- files ---- */

static int write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        data += n;
                        size -= (size_t) n;
                }
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int replace_file(int dir_fd, const char *name, mode_t mode, const gnutls_datum_t *first,
                const gnutls_datum_t *second) {
        _cleanup_(fd_closep) int fd = -EBADF;
        char beside[32];
        int r;

        (void) snprintf(beside, sizeof(beside), ".%s.new", name);
        (void) unlinkat(dir_fd, beside, 0);
        fd = openat(dir_fd, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = fchmod(fd, mode) < 0 ? -errno : 0; /* whatever the umask is */
        if (r >= 0)
                r = write_all(fd, (const char *) first->data, first->size);
        if (r >= 0 && second)
                r = write_all(fd, (const char *) second->data, second->size);
        if (r >= 0 && renameat(dir_fd, beside, dir_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir_fd, beside, 0);
        else
                (void) fsync(dir_fd);
        return r;
}

static int read_file(int dir_fd, const char *name, gnutls_datum_t *ret_text) {
        char *text = NULL;
        size_t size = 0;
        int r;

        r = fs_read_text(dir_fd, name, FILE_BYTES_MAX, &text, &size);
        if (r < 0)
                return r;
        ret_text->data = (unsigned char *) text; /* gnutls_free() is free() */
        ret_text->size = (unsigned int) size;
        return 0;
}

static int parse_certificate(const gnutls_datum_t *text, gnutls_x509_crt_t *certificate) {
        int r;

        r = gnutls_x509_crt_init(certificate);
        if (r >= 0)
                r = gnutls_x509_crt_import(*certificate, text, GNUTLS_X509_FMT_PEM);
        return error_of(r);
}

static int parse_key(const gnutls_datum_t *text, gnutls_x509_privkey_t *key) {
        int r;

        r = gnutls_x509_privkey_init(key);
        if (r >= 0)
                r = gnutls_x509_privkey_import(*key, text, GNUTLS_X509_FMT_PEM);
        return error_of(r);
}

static int load_certificate(int dir_fd, const char *name, gnutls_x509_crt_t *certificate) {
        _cleanup_(datum_done) gnutls_datum_t text = {};
        int r;

        r = read_file(dir_fd, name, &text);
        return r < 0 ? r : parse_certificate(&text, certificate);
}

static int load_key(int dir_fd, const char *name, gnutls_x509_privkey_t *key) {
        _cleanup_(datum_done) gnutls_datum_t text = {};
        int r;

        r = read_file(dir_fd, name, &text);
        return r < 0 ? r : parse_key(&text, key);
}

static int export_key(gnutls_x509_privkey_t key, gnutls_datum_t *ret_text) {
        return error_of(gnutls_x509_privkey_export2_pkcs8(
                        key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, ret_text));
}

/* ---- names ---- */

static void add_san(struct sans *sans, gnutls_x509_subject_alt_name_t type, const void *data,
                size_t size) {
        struct san *san = &sans->items[sans->n];

        if (size == 0 || size >= sizeof(san->data) || sans->n >= TLS_CA_NAMES_MAX)
                return;
        for (size_t i = 0; i < sans->n; i++) {
                if (sans->items[i].type == type && sans->items[i].size == size &&
                                memcmp(sans->items[i].data, data, size) == 0)
                        return;
        }
        *san = (struct san){ .type = type, .size = (unsigned int) size };
        memcpy(san->data, data, size);
        sans->n++;
}

static bool is_host(const char *text) {
        static const char bytes[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*";

        return text[0] && strlen(text) < HOST_MAX && text[strspn(text, bytes)] == '\0' &&
                        text[0] != '.' && text[0] != '-';
}

bool tls_ca_name_is_good(const char *text) {
        unsigned char address[16];

        return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1 ||
                        is_host(text);
}

/* What is neither a name nor an address is left out: a host may be called anything. */
static void add_text(struct sans *sans, const char *text) {
        unsigned char address[16];

        if (inet_pton(AF_INET, text, address) == 1)
                add_san(sans, GNUTLS_SAN_IPADDRESS, address, 4);
        else if (inet_pton(AF_INET6, text, address) == 1)
                add_san(sans, GNUTLS_SAN_IPADDRESS, address, 16);
        else if (is_host(text))
                add_san(sans, GNUTLS_SAN_DNSNAME, text, strlen(text));
}

/* Not by getifaddrs(): that asks over a netlink socket, which the unit does not let us have. */
static void add_ipv4(struct sans *sans) {
        struct ifreq interfaces[TLS_CA_NAMES_MAX] = {};
        struct ifconf list = { .ifc_len = sizeof(interfaces), .ifc_req = interfaces };
        _cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address;

        if (fd < 0 || ioctl(fd, SIOCGIFCONF, &list) < 0) /* those that are up */
                return;
        for (size_t i = 0; i < (size_t) list.ifc_len / sizeof(interfaces[0]); i++) {
                memcpy(&address, &interfaces[i].ifr_addr, sizeof(address));
                if (address.sin_family == AF_INET)
                        add_san(sans, GNUTLS_SAN_IPADDRESS, &address.sin_addr, 4);
        }
}

/* Lines of /proc/net/if_inet6: 32 digits, then numbers, the third of which is the scope. */
static void add_ipv6(struct sans *sans) {
        _cleanup_(freep) char *text = NULL;
        struct in6_addr address;
        char name[64];

        if (fs_read_text(AT_FDCWD, "/proc/net/if_inet6", FILE_BYTES_MAX, &text, NULL) < 0)
                return;
        for (const char *line = text; *line; line = strchrnul(line, '\n')) {
                size_t n = 0;

                line += *line == '\n';
                if (strspn(line, "0123456789abcdef") != 32)
                        continue;
                for (size_t i = 0; i < 32; i++) {
                        name[n++] = line[i];
                        if (i % 4 == 3 && i < 31)
                                name[n++] = ':';
                }
                name[n] = '\0';
                if (inet_pton(AF_INET6, name, &address) == 1 && !IN6_IS_ADDR_LINKLOCAL(&address))
                        add_san(sans, GNUTLS_SAN_IPADDRESS, &address, 16);
        }
}

/* What this host is called and where it is reached; no name service is asked, which may block. */
static void collect_sans(const struct tls_ca_config *config, struct sans *ret_sans) {
        char host[HOST_MAX] = "";

        *ret_sans = (struct sans){};
        (void) gethostname(host, sizeof(host) - 1);
        for (size_t i = 0; i < config->n_names; i++)
                add_text(ret_sans, config->names[i]);
        add_text(ret_sans, host);
        add_text(ret_sans, config->node_name);
        add_text(ret_sans, "localhost");
        add_text(ret_sans, "127.0.0.1");
        add_text(ret_sans, "::1");
        add_ipv4(ret_sans);
        add_ipv6(ret_sans);
}

static bool names_all(gnutls_x509_crt_t certificate, const struct sans *sans) {
        for (size_t i = 0; i < sans->n; i++) {
                const struct san *san = &sans->items[i];
                bool named = false;
                int r = 0;

                for (unsigned int j = 0; r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE && !named;
                                j++) {
                        char data[HOST_MAX];
                        size_t size = sizeof(data);

                        r = gnutls_x509_crt_get_subject_alt_name(certificate, j, data, &size, NULL);
                        named = r >= 0 && (gnutls_x509_subject_alt_name_t) r == san->type &&
                                        size == san->size && memcmp(data, san->data, size) == 0;
                        if (r < 0 && r != GNUTLS_E_SHORT_MEMORY_BUFFER)
                                break;
                }
                if (!named)
                        return false;
        }
        return true;
}

/* ---- making ---- */

static int make_key(gnutls_x509_privkey_t *key) {
        int r;

        r = gnutls_x509_privkey_init(key);
        if (r >= 0)
                r = gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA,
                                GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
        return error_of(r);
}

/* What every certificate has. @seconds: from now on; @name: cut at what a common name may have. */
static int begin_certificate(
                struct identity *identity, const char *name, time_t now, int64_t seconds) {
        unsigned char serial[16], id[64];
        size_t id_size = sizeof(id), n = strlen(name);
        int r;

        r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
        serial[0] = (unsigned char) ((serial[0] & 0x3f) | 0x40); /* positive, of full length */
        if (r >= 0)
                r = gnutls_x509_crt_init(&identity->certificate);
        if (r >= 0)
                r = gnutls_x509_crt_set_version(identity->certificate, 3);
        if (r >= 0)
                r = gnutls_x509_crt_set_serial(identity->certificate, serial, sizeof(serial));
        if (r >= 0)
                r = gnutls_x509_crt_set_activation_time(
                                identity->certificate, now - SECONDS_BEFORE);
        if (r >= 0)
                r = gnutls_x509_crt_set_expiration_time(
                                identity->certificate, (time_t) (now + seconds));
        if (r >= 0) {
                r = gnutls_x509_crt_set_dn_by_oid(identity->certificate,
                                GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                (unsigned int) (n > 64 ? 64 : n));
        }
        if (r >= 0)
                r = gnutls_x509_crt_set_key(identity->certificate, identity->key);
        if (r >= 0)
                r = gnutls_x509_crt_get_key_id(identity->certificate, 0, id, &id_size);
        if (r >= 0)
                r = gnutls_x509_crt_set_subject_key_id(identity->certificate, id, id_size);
        return error_of(r);
}

static int sign(struct identity *identity, const struct identity *ca) {
        unsigned char id[64];
        size_t size = sizeof(id);
        int r;

        r = gnutls_x509_crt_get_key_id(ca->certificate, 0, id, &size);
        if (r >= 0)
                r = gnutls_x509_crt_set_authority_key_id(identity->certificate, id, size);
        if (r >= 0)
                r = gnutls_x509_crt_sign2(identity->certificate, ca->certificate, ca->key,
                                GNUTLS_DIG_SHA256, 0);
        return error_of(r);
}

static int make_ca(
                const struct tls_ca_config *config, int dir_fd, struct identity *ca, time_t now) {
        _cleanup_(datum_done) gnutls_datum_t key = {}, certificate = {};
        char name[HOST_MAX];
        int r = 0;

        if (!ca->key) {
                r = make_key(&ca->key);
                if (r >= 0)
                        r = export_key(ca->key, &key);
                if (r >= 0)
                        r = replace_file(dir_fd, "ca.key", 0600, &key, NULL);
        }
        if (r < 0)
                return r;
        (void) snprintf(name, sizeof(name), "virtwatch CA of %s", config->node_name);
        r = begin_certificate(ca, name, now, CA_SECONDS);
        if (r >= 0)
                r = error_of(gnutls_x509_crt_set_basic_constraints(ca->certificate, 1, 0));
        if (r >= 0)
                r = error_of(gnutls_x509_crt_set_key_usage(
                                ca->certificate, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN));
        if (r >= 0)
                r = sign(ca, ca);
        if (r >= 0)
                r = error_of(gnutls_x509_crt_export2(
                                ca->certificate, GNUTLS_X509_FMT_PEM, &certificate));
        return r < 0 ? r : replace_file(dir_fd, "ca.pem", 0644, &certificate, NULL);
}

static bool fits(const struct identity *identity) {
        unsigned char a[64], b[64];
        size_t a_size = sizeof(a), b_size = sizeof(b);

        return gnutls_x509_crt_get_key_id(identity->certificate, 0, a, &a_size) >= 0 &&
                        gnutls_x509_privkey_get_key_id(identity->key, 0, b, &b_size) >= 0 &&
                        a_size == b_size && memcmp(a, b, a_size) == 0;
}

static int get_ca(const struct tls_ca_config *config, int dir_fd, struct identity *ca, time_t now) {
        int r;

        r = load_key(dir_fd, "ca.key", &ca->key);
        if (r < 0 && r != -ENOENT)
                return r;
        r = load_certificate(dir_fd, "ca.pem", &ca->certificate);
        if (r == -ENOENT)
                return make_ca(config, dir_fd, ca, now);
        if (r < 0)
                return r;
        if (!ca->key || !fits(ca))
                return -EKEYREJECTED;
        if (gnutls_x509_crt_get_expiration_time(ca->certificate) - now > CA_SPARE)
                return 0;
        gnutls_x509_crt_deinit(ca->certificate);
        ca->certificate = NULL;
        return make_ca(config, dir_fd, ca, now); /* of the same key */
}

static int make_server(const struct tls_ca_config *config, int dir_fd, const struct identity *ca,
                const struct sans *sans, time_t now) {
        _cleanup_(datum_done) gnutls_datum_t key = {}, certificate = {};
        _cleanup_(identity_done) struct identity server = {};
        int r;

        r = make_key(&server.key);
        if (r >= 0)
                r = begin_certificate(&server, config->node_name, now,
                                (int64_t) (config->lifetime_us / USEC_PER_SEC));
        if (r >= 0)
                r = error_of(gnutls_x509_crt_set_basic_constraints(server.certificate, 0, -1));
        if (r >= 0)
                r = error_of(gnutls_x509_crt_set_key_usage(
                                server.certificate, GNUTLS_KEY_DIGITAL_SIGNATURE));
        if (r >= 0)
                r = error_of(gnutls_x509_crt_set_key_purpose_oid(
                                server.certificate, GNUTLS_KP_TLS_WWW_SERVER, 0));
        for (size_t i = 0; r >= 0 && i < sans->n; i++) {
                r = error_of(gnutls_x509_crt_set_subject_alt_name(server.certificate,
                                sans->items[i].type, sans->items[i].data, sans->items[i].size,
                                GNUTLS_FSAN_APPEND));
        }
        if (r >= 0)
                r = sign(&server, ca);
        if (r >= 0)
                r = error_of(gnutls_x509_crt_export2(
                                server.certificate, GNUTLS_X509_FMT_PEM, &certificate));
        if (r >= 0)
                r = export_key(server.key, &key);
        return r < 0 ? r : replace_file(dir_fd, "server.pem", 0600, &certificate, &key);
}

/* Is the one that is there of this authority, for these names, and good for a while? */
static bool is_good(const struct tls_ca_config *config, int dir_fd, const struct identity *ca,
                const struct sans *sans, time_t now) {
        const int64_t seconds = (int64_t) (config->lifetime_us / USEC_PER_SEC);
        _cleanup_(identity_done) struct identity server = {};
        unsigned int status = 0;
        int64_t left;

        if (load_certificate(dir_fd, "server.pem", &server.certificate) < 0 ||
                        load_key(dir_fd, "server.pem", &server.key) < 0 || !fits(&server))
                return false;
        if (gnutls_x509_crt_verify(server.certificate, &ca->certificate, 1,
                            GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) < 0 ||
                        status != 0)
                return false;
        left = gnutls_x509_crt_get_expiration_time(server.certificate) - now;
        return left > seconds / 3 && left <= seconds && names_all(server.certificate, sans);
}

int tls_ca_provide(const struct tls_ca_config *config, uint64_t realtime_us) {
        const time_t now = (time_t) (realtime_us / USEC_PER_SEC);
        _cleanup_(identity_done) struct identity ca = {};
        _cleanup_(fd_closep) int dir_fd = -EBADF;
        struct sans sans;
        int r;

        r = fs_make_dirs(config->dir, 0700);
        if (r < 0)
                return r;
        dir_fd = open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = get_ca(config, dir_fd, &ca, now);
        if (r < 0)
                return r;
        collect_sans(config, &sans);
        if (is_good(config, dir_fd, &ca, &sans, now))
                return 0;
        r = make_server(config, dir_fd, &ca, &sans, now);
        return r < 0 ? r : 1;
}
