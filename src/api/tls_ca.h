#pragma once
/* A certificate authority of this host's own, made once and kept, and the server certificate that
 * it signs. All is in one folder: ca.pem (to be handed out), ca.key, and server.pem, which has the
 * certificate and its key. Keys are ECDSA P-256, in files of mode 0600. */

#include "base/macro.h"

#define TLS_CA_NAMES_MAX 64

struct tls_ca_config {
        const char *dir;          /* made if it is not there */
        const char *node_name;    /* for people who read the certificate, and if it can be a name */
        const char *const *names; /* more names and addresses for the certificate */
        size_t n_names;
        uint64_t lifetime_us; /* of the server's certificate; it is renewed in its last third */
};

/** Whether a certificate can be for @text: an address, or a name such as "host.example" or
 * "*.example". */
bool tls_ca_name_is_good(const char *text);

/**
 * Make what is missing, old, or not for the names and addresses that this host has now.
 *
 * Return: 1 there is a new server certificate; 0 all is well; -EKEYREJECTED ca.key does not fit
 * ca.pem; -EBADMSG a file holds no PEM; errno of the files.
 */
int tls_ca_provide(const struct tls_ca_config *config, uint64_t realtime_us);
