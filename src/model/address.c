/* Ranges as bits of an IPv6 address. */

#include "model/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/text.h"

#define V4_BITS 96 /* before the IPv4 address in a mapped one */

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static int parse_address(const char *text, unsigned char bytes[static 16]) {
        struct in_addr four;

        if (inet_pton(AF_INET6, text, bytes) == 1)
                return 0;
        if (inet_pton(AF_INET, text, &four) != 1)
                return -EINVAL;
        memcpy(bytes, mapped, sizeof(mapped));
        memcpy(bytes + sizeof(mapped), &four, sizeof(four));
        return V4_BITS;
}

int address_range_parse(const char *text, struct address_range *ret_range) {
        struct address_range range = { .bits = 128 };
        char address[INET6_ADDRSTRLEN];
        size_t n = strcspn(text, "/");
        uint64_t bits;
        int before;

        if (n >= sizeof(address))
                return -EINVAL;
        memcpy(address, text, n);
        address[n] = '\0';
        before = parse_address(address, range.bytes);
        if (before < 0)
                return before;
        if (text[n]) {
                if (text_to_u64(text + n + 1, &bits) < 0 || bits > 128U - (unsigned int) before)
                        return -EINVAL;
                range.bits = (unsigned int) bits + (unsigned int) before;
        }
        *ret_range = range;
        return 0;
}

static bool is_within(const unsigned char bytes[static 16], const struct address_range *range) {
        const unsigned int whole = range->bits / 8, rest = range->bits % 8;

        if (memcmp(bytes, range->bytes, whole) != 0)
                return false;
        return rest == 0 || ((bytes[whole] ^ range->bytes[whole]) >> (8 - rest)) == 0;
}

static bool is_among(const unsigned char bytes[static 16], const struct address_range *ranges,
                size_t n) {
        for (size_t i = 0; i < n; i++)
                if (is_within(bytes, &ranges[i]))
                        return true;
        return false;
}

/* A prefix of /96 out of those that a network may choose for its NAT64 (RFC 8215). */
static bool is_local_nat64(const unsigned char bytes[static 16]) {
        static const unsigned char prefix[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, rest[4] = {};

        return memcmp(bytes, prefix, sizeof(prefix)) == 0 &&
                        memcmp(bytes + 8, rest, sizeof(rest)) == 0;
}

/* The IPv4 address that an IPv6 one carries, as a mapped one (RFC 4291, 6052, 2765, 3056). */
static void unwrap(unsigned char bytes[static 16]) {
        static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b }, compatible[12] = {},
                                   translated[12] = { [8] = 0xff, [9] = 0xff };
        unsigned char four[4];

        if (memcmp(bytes, nat64, sizeof(nat64)) == 0 || is_local_nat64(bytes) ||
                        memcmp(bytes, translated, sizeof(translated)) == 0 ||
                        (memcmp(bytes, compatible, sizeof(compatible)) == 0 &&
                                        (bytes[12] || bytes[13] || bytes[14])))
                memcpy(four, bytes + 12, sizeof(four));
        else if (bytes[0] == 0x20 && bytes[1] == 0x02)
                memcpy(four, bytes + 2, sizeof(four));
        else
                return;
        memcpy(bytes, mapped, sizeof(mapped));
        memcpy(bytes + sizeof(mapped), four, sizeof(four));
}

struct rule {
        const char *range, *refusal;
        bool final; /* no list opens it */
};

/* The registries of special addresses (RFC 6890), as far as they are no hosts; and where clouds
 * have their metadata. */
static const struct rule rules[] = {
        { "255.255.255.255/32", "it is the broadcast address", true },
        { "0.0.0.0/8", "it is an unspecified address", true },
        { "169.254.0.0/16", "it is a link-local address", true },
        { "224.0.0.0/4", "it is a multicast address", true },
        { "240.0.0.0/4", "it is a reserved address", true },
        { "::/128", "it is the unspecified address", true },
        { "fe80::/10", "it is a link-local address", true },
        { "ff00::/8", "it is a multicast address", true },
        { "127.0.0.0/8", "it is a loopback address", false },
        { "::1/128", "it is the loopback address", false },
        { "100.100.100.200/32", "it is a metadata service", false },
        { "168.63.129.16/32", "it is a metadata service", false },
        { "192.0.0.192/32", "it is a metadata service", false },
        { "fd00:ec2::254/128", "it is a metadata service", false },
        { "fd20:ce::254/128", "it is a metadata service", false },
};

static const struct rule *rule_of(const unsigned char bytes[static 16]) {
        struct address_range range;

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                if (address_range_parse(rules[i].range, &range) >= 0 && is_within(bytes, &range))
                        return &rules[i];
        return NULL;
}

const char *address_refusal(const struct address_policy *policy, const struct sockaddr *address) {
        unsigned char bytes[16];
        const struct rule *rule;

        if (address->sa_family == AF_INET6) {
                memcpy(bytes, &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr,
                                sizeof(bytes));
                unwrap(bytes);
        } else if (address->sa_family == AF_INET) {
                memcpy(bytes, mapped, sizeof(mapped));
                memcpy(bytes + sizeof(mapped),
                                &((const struct sockaddr_in *) (const void *) address)->sin_addr,
                                4);
        } else {
                return "it is no internet address";
        }
        rule = rule_of(bytes);
        if (rule && rule->final)
                return rule->refusal;
        if (is_among(bytes, policy->deny, policy->n_deny))
                return "its range is denied";
        if (rule && !is_among(bytes, policy->allow, policy->n_allow))
                return rule->refusal;
        return NULL;
}
