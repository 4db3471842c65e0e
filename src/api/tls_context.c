/* GnuTLS credentials, read through our own hands so that a fault can be told with its file. */

#include "api/tls_context.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"

#define PEM_MAX       (1U << 20)
#define HANDSHAKE_MAX (64U << 10) /* bytes of one message: a long chain of certificates */

struct watched {
        char *path;
        struct stat st;
};

struct tls_context {
        unsigned int n_ref;
        struct watched files[3];
        size_t n_files;
        gnutls_certificate_credentials_t credentials;
        gnutls_priority_t priority;
        gnutls_datum_t ticket_key;
        enum tls_client_auth client_auth;
        char *client_sans[TLS_SANS_MAX];
        size_t n_client_sans;
        int64_t expires;
};

/* ---- files ---- */

static int read_pem(struct tls_context *context, const struct tls_pem *pem, bool is_secret,
                char **ret_text, struct diag *diag) {
        struct watched *file = &context->files[context->n_files];
        int r;

        (void) snprintf(diag->path, sizeof(diag->path), "%s", pem->path);
        file->path = strdup(pem->path);
        if (!file->path)
                return -ENOMEM;
        context->n_files++;
        r = stat(pem->path, &file->st) < 0 ? -errno : 0;
        if (r >= 0 && !pem->text)
                r = fs_read_text(AT_FDCWD, pem->path, PEM_MAX, ret_text, NULL);
        if (r < 0) {
                diag_set(diag, 0, 0, "cannot be read: %s", strerrordesc_np(-r));
                return r;
        }
        if (pem->text) {
                *ret_text = strdup(pem->text);
                if (!*ret_text)
                        return -ENOMEM;
        }
        if (!is_secret || !(file->st.st_mode & (S_IROTH | S_IWOTH)))
                return 0;
        diag_set(diag, 0, 0, "has a key in it and others may %s it; chmod 0640 or less",
                        file->st.st_mode & S_IROTH ? "read" : "write");
        return -EACCES;
}

bool tls_context_is_stale(const struct tls_context *context) {
        for (size_t i = 0; i < context->n_files; i++) {
                const struct stat *was = &context->files[i].st;
                struct stat st;

                if (stat(context->files[i].path, &st) < 0)
                        continue; /* being replaced, or gone: what was read still serves */
                if (st.st_ino != was->st_ino || st.st_dev != was->st_dev ||
                                st.st_size != was->st_size ||
                                st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
                                st.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
                        return true;
        }
        return false;
}

static gnutls_datum_t datum_of(char *text) {
        return (gnutls_datum_t){ .data = (unsigned char *) text,
                .size = (unsigned int) strlen(text) };
}

/* @what: of the file at @pem->path, if that has more than one thing in it. */
static int tell(struct diag *diag, const struct tls_pem *pem, const char *what, int r) {
        (void) snprintf(diag->path, sizeof(diag->path), "%s", pem->path);
        if (pem->text) {
                diag_set(diag, pem->line, pem->column, "%s is not usable: %s", what,
                                gnutls_strerror(r));
        } else {
                diag_set(diag, 0, 0, "is not usable: %s", gnutls_strerror(r));
        }
        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
}

static int read_expiry(struct tls_context *context, const gnutls_datum_t *pem) {
        gnutls_x509_crt_t certificate;
        int r;

        r = gnutls_x509_crt_init(&certificate);
        if (r < 0)
                return r;
        r = gnutls_x509_crt_import(certificate, pem, GNUTLS_X509_FMT_PEM);
        if (r >= 0)
                context->expires = gnutls_x509_crt_get_expiration_time(certificate);
        gnutls_x509_crt_deinit(certificate);
        return r;
}

static int load_own(struct tls_context *context, const struct tls_context_config *config,
                struct diag *diag) {
        const struct tls_pem *key_pem = config->key.path ? &config->key : &config->certificate;
        _cleanup_(freep) char *certificate = NULL, *key = NULL;
        gnutls_datum_t certificate_datum, key_datum;
        int r;

        r = read_pem(context, &config->certificate, !config->key.path, &certificate, diag);
        if (r >= 0 && config->key.path)
                r = read_pem(context, &config->key, true, &key, diag);
        if (r < 0)
                return r;
        certificate_datum = datum_of(certificate);
        key_datum = datum_of(key ? key : certificate);
        r = read_expiry(context, &certificate_datum);
        if (r < 0) {
                r = tell(diag, &config->certificate, "the certificate", r);
        } else {
                r = gnutls_certificate_set_x509_key_mem2(context->credentials, &certificate_datum,
                                &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
                r = r < 0 ? tell(diag, key_pem, "the key", r) : 0;
        }
        if (key)
                explicit_bzero(key, strlen(key));
        else
                explicit_bzero(certificate, strlen(certificate));
        return r;
}

static int load_client_ca(
                struct tls_context *context, const struct tls_pem *pem, struct diag *diag) {
        _cleanup_(freep) char *text = NULL;
        gnutls_datum_t datum;
        int r;

        r = read_pem(context, pem, false, &text, diag);
        if (r < 0)
                return r;
        datum = datum_of(text);
        r = gnutls_certificate_set_x509_trust_mem(
                        context->credentials, &datum, GNUTLS_X509_FMT_PEM);
        if (r == 0)
                r = GNUTLS_E_NO_CERTIFICATE_FOUND;
        return r < 0 ? tell(diag, pem, "the clients' authority", r) : 0;
}

/* ---- clients' certificates ---- */

static bool is_allowed(const struct tls_context *context, gnutls_x509_crt_t certificate) {
        for (unsigned int i = 0;; i++) {
                char name[256] = "";
                size_t size = sizeof(name) - 1;
                int r;

                r = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);
                if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return false;
                if (r != GNUTLS_SAN_DNSNAME && r != GNUTLS_SAN_RFC822NAME && r != GNUTLS_SAN_URI)
                        continue;
                for (size_t j = 0; j < context->n_client_sans; j++) {
                        if (strlen(context->client_sans[j]) == size &&
                                        memcmp(context->client_sans[j], name, size) == 0)
                                return true;
                }
        }
}

static int check_sans(const struct tls_context *context, const gnutls_datum_t *der) {
        gnutls_x509_crt_t certificate;
        bool allowed;

        if (context->n_client_sans == 0)
                return 0;
        if (gnutls_x509_crt_init(&certificate) < 0)
                return GNUTLS_E_MEMORY_ERROR;
        allowed = gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) >= 0 &&
                        is_allowed(context, certificate);
        gnutls_x509_crt_deinit(certificate);
        return allowed ? 0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* Called by GnuTLS once the client's certificates are there, or have not come. */
static int on_client(gnutls_session_t session) {
        const struct tls_context *context = gnutls_session_get_ptr(session);
        gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                .data = (unsigned char *) (uintptr_t) GNUTLS_KP_TLS_WWW_CLIENT };
        const gnutls_datum_t *chain;
        unsigned int n = 0, status = 0;
        int r;

        chain = gnutls_certificate_get_peers(session, &n);
        if (!chain || n == 0) {
                return context->client_auth == TLS_CLIENT_REQUIRE ||
                                                context->client_auth == TLS_CLIENT_REQUIRE_ANY
                                ? GNUTLS_E_CERTIFICATE_REQUIRED
                                : 0;
        }
        if (context->client_auth < TLS_CLIENT_VERIFY_IF_GIVEN)
                return 0;
        r = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
        if (r < 0)
                return r;
        return status ? GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR : check_sans(context, chain);
}

/* ---- contexts ---- */

static int set_priority(struct tls_context *context, const struct tls_context_config *config) {
        char text[320];

        (void) snprintf(text, sizeof(text),
                        "NORMAL:-VERS-ALL%s%s:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:"
                        "+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:-GROUP-ALL:+GROUP-X25519:"
                        "+GROUP-SECP256R1:+GROUP-SECP384R1:%%SERVER_PRECEDENCE",
                        config->max_version == 2 ? "" : ":+VERS-TLS1.3",
                        config->min_version == 3 ? "" : ":+VERS-TLS1.2");
        return gnutls_priority_init2(&context->priority, text, NULL, 0);
}

int tls_context_new(const struct tls_context_config *config, struct diag *diag,
                struct tls_context **ret_context) {
        _cleanup_(tls_context_unrefp) struct tls_context *context = NULL;
        int r;

        context = calloc(1, sizeof(*context));
        if (!context)
                return -ENOMEM;
        context->n_ref = 1;
        context->client_auth = config->client_auth;
        for (size_t i = 0; i < config->n_client_sans; i++) {
                context->client_sans[i] = strdup(config->client_sans[i]);
                if (!context->client_sans[i])
                        return -ENOMEM;
                context->n_client_sans++;
        }
        if (gnutls_certificate_allocate_credentials(&context->credentials) < 0)
                return -ENOMEM;
        r = load_own(context, config, diag);
        if (r >= 0 && config->client_ca.path)
                r = load_client_ca(context, &config->client_ca, diag);
        if (r < 0)
                return r;
        gnutls_certificate_set_verify_function(context->credentials, on_client);
        r = set_priority(context, config);
        if (r >= 0)
                r = gnutls_session_ticket_key_generate(&context->ticket_key);
        if (r < 0)
                return tell(diag, &config->certificate, "TLS", r);
        *ret_context = TAKE_PTR(context);
        return 0;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
        if (context)
                context->n_ref++;
        return context;
}

struct tls_context *tls_context_unref(struct tls_context *context) {
        if (!context || --context->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < context->n_files; i++)
                free(context->files[i].path);
        for (size_t i = 0; i < context->n_client_sans; i++)
                free(context->client_sans[i]);
        if (context->credentials)
                gnutls_certificate_free_credentials(context->credentials);
        if (context->priority)
                gnutls_priority_deinit(context->priority);
        if (context->ticket_key.data)
                explicit_bzero(context->ticket_key.data, context->ticket_key.size);
        gnutls_free(context->ticket_key.data);
        free(context);
        return NULL;
}

int64_t tls_context_expires(const struct tls_context *context) {
        return context->expires;
}

int tls_context_session(struct tls_context *context, int fd, gnutls_session_t *ret_session) {
        static const char http[] = "http/1.1";
        const gnutls_datum_t protocol = { .data = (unsigned char *) (uintptr_t) http,
                .size = sizeof(http) - 1 };
        gnutls_session_t session;
        int r;

        r = gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
        if (r < 0)
                return -ENOMEM;
        gnutls_session_set_ptr(session, context);
        r = gnutls_priority_set(session, context->priority);
        if (r >= 0)
                r = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, context->credentials);
        if (r >= 0)
                r = gnutls_session_ticket_enable_server(session, &context->ticket_key);
        if (r >= 0)
                r = gnutls_alpn_set_protocols(session, &protocol, 1, 0);
        if (r < 0) {
                gnutls_deinit(session);
                return -ENOMEM;
        }
        gnutls_certificate_server_set_request(session,
                        context->client_auth == TLS_CLIENT_NONE ? GNUTLS_CERT_IGNORE
                                        : context->client_auth == TLS_CLIENT_REQUIRE ||
                                                        context->client_auth ==
                                                                        TLS_CLIENT_REQUIRE_ANY
                                        ? GNUTLS_CERT_REQUIRE
                                        : GNUTLS_CERT_REQUEST);
        gnutls_handshake_set_max_packet_length(session, HANDSHAKE_MAX);
        gnutls_transport_set_int(session, fd);
        *ret_session = session;
        return 0;
}
