/* When a target's certificates end, from OpenSSL itself. libcurl's own word for it
 * (CURLOPT_CERTINFO) prints each of them whole, every byte of its keys and signatures through
 * printf(), which takes a tenth of a run. */

#include <openssl/opensslv.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "engine/prober_internal.h"

#define STRINGIFY(number) #number
#define MAJOR(number)     STRINGIFY(number)

bool prober_tls_can_look(void) {
        const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);

        /* the library that we are linked with, or its objects are not ours to look into */
        return version->ssl_version &&
                        text_starts_with(version->ssl_version,
                                        "OpenSSL/" MAJOR(OPENSSL_VERSION_MAJOR) ".");
}

static uint64_t end_of(const X509 *certificate) {
        struct tm end = {};
        time_t end_s;

        if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
                return 0;
        end_s = timegm(&end);
        return end_s > 0 ? (uint64_t) end_s : 0;
}

uint64_t prober_tls_expiry(CURL *easy) {
        const struct curl_tlssessioninfo *session = NULL;
        const STACK_OF(X509) * chain;
        uint64_t earliest_s = 0, end_s;

        if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK || !session ||
                        session->backend != CURLSSLBACKEND_OPENSSL || !session->internals)
                return 0;
        chain = SSL_get_peer_cert_chain(session->internals);
        for (int i = 0; i < (chain ? sk_X509_num(chain) : 0); i++) {
                end_s = end_of(sk_X509_value(chain, i));
                if (end_s && (!earliest_s || end_s < earliest_s))
                        earliest_s = end_s;
        }
        return earliest_s;
}
