/* Which addresses are refused, also in the IPv6 clothes that IPv4 has, and at the edges of ranges.
 */

#include <arpa/inet.h>
#include <netinet/in.h>

#include "model/address.h"
#include "test.h"

static const char *refusal(const struct address_policy *policy, const char *text) {
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };

        if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
                return address_refusal(policy, (const struct sockaddr *) (const void *) &six);
        assert_int_equal(inet_pton(AF_INET, text, &four.sin_addr), 1);
        return address_refusal(policy, (const struct sockaddr *) (const void *) &four);
}

static void add(struct address_range *ranges, size_t *n, const char *text) {
        assert_int_equal(address_range_parse(text, &ranges[(*n)++]), 0);
}

static void private_and_public_addresses_may_be_asked(void **state) {
        static const char *const good[] = { "10.0.0.1", "192.168.122.7", "172.16.0.1",
                "172.31.255.255", "100.64.0.1", "8.8.8.8", "1.0.0.0", "126.255.255.255",
                "128.0.0.0", "169.253.255.255", "169.255.0.0", "223.255.255.255", "fd00::1",
                "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1",
                "64:ff9b:1:0:a9fe:a9fe::", "2002:a00:1::1", "fdff::1", "fec0::1" };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                if (refusal(&(struct address_policy){}, good[i]))
                        fail_msg("%s", good[i]);
}

static void loopback_link_local_and_no_hosts_are_refused(void **state) {
        static const char *const bad[] = { "127.0.0.1", "127.255.255.255", "127.0.0.0", "0.0.0.0",
                "0.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255", "224.0.0.1",
                "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
                "febf:ffff::1", "ff02::1", "ff00::", "100.100.100.200", "168.63.129.16",
                "fd00:ec2::254" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (!refusal(&(struct address_policy){}, bad[i]))
                        fail_msg("%s", bad[i]);
}

static void ipv4_within_ipv6_is_judged_as_ipv4(void **state) {
        static const char *const bad[] = { "::ffff:127.0.0.1", "::ffff:169.254.169.254",
                "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
                "64:ff9b:1::169.254.169.254", "64:ff9b:1:fffe::127.0.0.1",
                "2002:7f00:1::", "2002:a9fe:a9fe::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (!refusal(&(struct address_policy){}, bad[i]))
                        fail_msg("%s", bad[i]);
}

static void what_is_allowed_opens_loopback_and_never_link_local(void **state) {
        struct address_policy policy = {};

        add(policy.allow, &policy.n_allow, "127.0.0.0/30");
        add(policy.allow, &policy.n_allow, "::1");
        add(policy.allow, &policy.n_allow, "169.254.0.0/16");
        add(policy.allow, &policy.n_allow, "::/0");
        policy.n_allow = 3;
        assert_null(refusal(&policy, "127.0.0.3"));
        assert_non_null(refusal(&policy, "127.0.0.4"));
        assert_null(refusal(&policy, "::ffff:127.0.0.1"));
        assert_null(refusal(&policy, "::1"));
        assert_non_null(refusal(&policy, "169.254.169.254"));
        policy.n_allow = 4;
        assert_null(refusal(&policy, "127.1.1.1"));
        assert_null(refusal(&policy, "100.100.100.200"));
        assert_non_null(refusal(&policy, "fe80::1"));
        assert_non_null(refusal(&policy, "0.0.0.0"));
        assert_non_null(refusal(&policy, "ff02::1"));
}

static void what_is_denied_is_closed_even_if_it_is_allowed(void **state) {
        struct address_policy policy = {};

        add(policy.deny, &policy.n_deny, "10.1.0.0/17");
        add(policy.deny, &policy.n_deny, "fd00::/8");
        add(policy.allow, &policy.n_allow, "10.0.0.0/8");
        assert_non_null(refusal(&policy, "10.1.0.1"));
        assert_non_null(refusal(&policy, "10.1.127.255"));
        assert_non_null(refusal(&policy, "::ffff:10.1.127.255"));
        assert_null(refusal(&policy, "10.1.128.0"));
        assert_null(refusal(&policy, "10.0.255.255"));
        assert_non_null(refusal(&policy, "fd12::1"));
        assert_null(refusal(&policy, "2001:db8::1"));
}

static void ranges_that_are_none_are_refused(void **state) {
        static const char *const bad[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129",
                "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/8x",
                "localhost", "0x7f.1", "[::1]", "10.0.0.0/18446744073709551617",
                "1111:1111:1111:1111:1111:1111:111.111.111.1111" };
        struct address_range range;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (address_range_parse(bad[i], &range) != -EINVAL)
                        fail_msg("%s", bad[i]);
        assert_int_equal(address_range_parse("0.0.0.0/0", &range), 0);
        assert_int_equal(range.bits, 96);
        assert_int_equal(address_range_parse("10.0.0.0/32", &range), 0);
        assert_int_equal(range.bits, 128);
}

static void other_families_are_refused(void **state) {
        const struct sockaddr local = { .sa_family = AF_UNIX };

        assert_non_null(address_refusal(&(struct address_policy){}, &local));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(private_and_public_addresses_may_be_asked),
                cmocka_unit_test(loopback_link_local_and_no_hosts_are_refused),
                cmocka_unit_test(ipv4_within_ipv6_is_judged_as_ipv4),
                cmocka_unit_test(what_is_allowed_opens_loopback_and_never_link_local),
                cmocka_unit_test(what_is_denied_is_closed_even_if_it_is_allowed),
                cmocka_unit_test(ranges_that_are_none_are_refused),
                cmocka_unit_test(other_families_are_refused),
        };

        return RUN_TESTS(tests);
}
