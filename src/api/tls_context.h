#pragma once
/* What a TLS server shows and asks of its clients: certificate, key, versions, client certificates.
 * Read once from its files and never changed; sessions hold a reference, so that another context
 * may take its place while they go on. TLS 1.2 and 1.3 only, with forward secrecy and AEAD. */

#include <gnutls/gnutls.h>

#include "base/diag.h"

enum tls_client_auth {
        TLS_CLIENT_NONE,            /* no certificate is asked for */
        TLS_CLIENT_REQUEST,         /* asked for, never looked at */
        TLS_CLIENT_REQUIRE_ANY,     /* there must be one, whoever signed it */
        TLS_CLIENT_VERIFY_IF_GIVEN, /* none is fine; another than the CA's is not */
        TLS_CLIENT_REQUIRE,         /* there must be one of the CA's */
};

struct tls_context;

#define TLS_SANS_MAX 32

/* PEM in a file of its own, or as a part of another. */
struct tls_pem {
        const char *path;          /* of the file; copied; NULL: there is none */
        const char *text;          /* NULL: all of the file */
        unsigned int line, column; /* where @text is in it, to be told */
};

struct tls_context_config {
        struct tls_pem certificate; /* the server's first */
        struct tls_pem key;         /* none: where the certificate is */
        struct tls_pem client_ca;   /* none: nothing is verified */
        enum tls_client_auth client_auth;
        const char *client_sans[TLS_SANS_MAX]; /* a client must be for one of these; copied */
        size_t n_client_sans;                  /* 0: any */
        unsigned int min_version, max_version; /* 2 or 3: TLS 1.2, TLS 1.3; 0: 2 and 3 */
};

/** Return: 0; negative errno with @diag's path and text, and the place of what is part of a file.
 */
int tls_context_new(const struct tls_context_config *config, struct diag *diag,
                struct tls_context **ret_context);
struct tls_context *tls_context_ref(struct tls_context *context); /* takes NULL */
struct tls_context *tls_context_unref(struct tls_context *context);
DEFINE_FREEP(struct tls_context, tls_context_unref);

/** Whether a file that it was read from is another now. Asks the file system. */
bool tls_context_is_stale(const struct tls_context *context);
/** When the server's certificate ends: CLOCK_REALTIME, seconds. */
int64_t tls_context_expires(const struct tls_context *context);

/** A server's session on the non-blocking socket @fd; caller frees with gnutls_deinit(), before
 * its reference to the context. Return: 0; -ENOMEM. */
int tls_context_session(struct tls_context *context, int fd, gnutls_session_t *ret_session);
