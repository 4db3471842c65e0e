#pragma once
/* Which addresses the daemon may connect to when somebody tells it a name: asked with the very
 * address of the socket, so that no spelling of it and no answer of a name server gets round it.
 * Pure. */

#include <sys/socket.h>

#include "base/macro.h"

#define ADDRESS_RANGES_MAX 64

/* IPv4 as its IPv4-mapped IPv6 address; so "10.0.0.0/8" has 96 + 8 bits. */
struct address_range {
        unsigned char bytes[16];
        unsigned int bits; /* 0..128 */
};

struct address_policy {
        struct address_range allow[ADDRESS_RANGES_MAX]; /* opens loopback and metadata addresses */
        struct address_range deny[ADDRESS_RANGES_MAX];  /* closes what is open by default */
        size_t n_allow, n_deny;
};

/** Read "10.0.0.0/8", "fd00::/8", or an address alone. Return: 0; -EINVAL. */
int address_range_parse(const char *text, struct address_range *ret_range);

/**
 * May it be connected to? Private ranges may, as guests live there. Never: unspecified, multicast,
 * broadcast and reserved addresses, and link-local ones (RFC 3927, RFC 4291), which is where clouds
 * have their metadata. Unless allowed: loopback, and metadata services that are elsewhere. An IPv6
 * address that carries an IPv4 one (mapped, compatible, NAT64, 6to4) is judged by that.
 *
 * Return: NULL: it may; else why not, a few words.
 */
const char *address_refusal(const struct address_policy *policy, const struct sockaddr *address);
