/* The libvirt meter over libvirt's own test driver, in this process: what is read call by call
 * where bulk statistics say little, what a domain that is off was given, and whose addresses are
 * whose. */

#include <libvirt/libvirt.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "source/libvirt_guest_internal.h"
#include "source/meter.h"
#include "span_json.h"

#define URI "test:///default"

/* The test driver has no monitor that could hang: what libvirt would say of one. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int state; /* virDomainControlState */
        unsigned int asked;
        bool held;      /* who asks has to wait */
        time_t later_s; /* by which the monotonic clock is ahead */
} control = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void set_control(int state, bool held) {
        (void) pthread_mutex_lock(&control.lock);
        control.state = state;
        control.held = held;
        control.asked = 0;
        (void) pthread_cond_broadcast(&control.changed);
        (void) pthread_mutex_unlock(&control.lock);
}

int virDomainGetControlInfo(virDomainPtr domain, virDomainControlInfoPtr info, unsigned int flags) {
        (void) pthread_mutex_lock(&control.lock);
        control.asked++;
        (void) pthread_cond_broadcast(&control.changed);
        while (control.held)
                (void) pthread_cond_wait(&control.changed, &control.lock);
        *info = (virDomainControlInfo){ .state = (unsigned int) control.state, .stateTime = 5000 };
        (void) pthread_mutex_unlock(&control.lock);
        return 0;
}

/* In place of libc's, for what is linked in here. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved */
int clock_gettime(clockid_t clock, struct timespec *now) {
        if (syscall(SYS_clock_gettime, clock, now) < 0)
                return -1;
        (void) pthread_mutex_lock(&control.lock);
        now->tv_sec += clock == CLOCK_MONOTONIC ? control.later_s : 0;
        (void) pthread_mutex_unlock(&control.lock);
        return 0;
}

struct bench {
        sd_event *event;
        struct meter_env env;
        struct meter *meter;
        struct spans *spans;
        virConnectPtr connection;
        char uuid[VIR_UUID_STRING_BUFLEN]; /* whose readings are kept */
        struct stats *used, *given;        /* the newest */
        char address[64];                  /* the first one told */
        size_t n_addresses;
        unsigned int n_hung, n_recovered;
};

static void on_post(
                const char *source, const char *native_id, struct stats *stats, void *userdata) {
        struct bench *bench = userdata;
        struct stats **place = stats->given_only ? &bench->given : &bench->used;

        assert_string_equal(source, "libvirt:" URI);
        if (strcmp(native_id, bench->uuid) != 0) {
                stats_free(stats);
                return;
        }
        stats_free(*place);
        *place = stats;
}

static void on_hung(const char *source, const char *native_id, bool hung, uint64_t since_us,
                void *userdata) {
        struct bench *bench = userdata;

        assert_string_equal(native_id, bench->uuid);
        assert_true(hung == (since_us > 0));
        bench->n_hung += hung;
        bench->n_recovered += !hung;
}

static void on_addresses(const char *source, const char *native_id, const char *const *addresses,
                size_t n, void *userdata) {
        struct bench *bench = userdata;

        if (strcmp(native_id, bench->uuid) != 0)
                return;
        bench->n_addresses = n;
        if (n)
                (void) snprintf(bench->address, sizeof(bench->address), "%s", addresses[0]);
}

static void watch_domain(struct bench *bench, virDomainPtr domain) {
        assert_non_null(domain);
        assert_int_equal(virDomainGetUUIDString(domain, bench->uuid), 0);
}

static int set_up(void **state) {
        struct bench *bench = calloc(1, sizeof(*bench));
        const struct meter_config config = { .source = "libvirt:" URI,
                .address = URI,
                .interval_us = USEC_PER_SEC,
                .guest_us = USEC_PER_SEC };

        assert_non_null(bench);
        assert_true(sd_event_new(&bench->event) >= 0);
        bench->spans = span_json_make();
        bench->env = (struct meter_env){ .event = bench->event,
                .spans = bench->spans,
                .post = on_post,
                .hung = on_hung,
                .addresses = on_addresses,
                .userdata = bench };
        assert_int_equal(libvirt_meter_ops.create(&config, &bench->env, &bench->meter), 0);
        bench->connection = virConnectOpen(URI);
        assert_non_null(bench->connection);
        *state = bench;
        return 0;
}

static int tear_down(void **state) {
        struct bench *bench = *state;

        set_control(VIR_DOMAIN_CONTROL_OK, false);
        (void) virConnectClose(bench->connection);
        libvirt_meter_ops.free(bench->meter);
        spans_unref(bench->spans);
        stats_free(bench->used);
        stats_free(bench->given);
        sd_event_unref(bench->event);
        free(bench);
        return 0;
}

/* Ask again and again until @what has come. */
static void await(struct bench *bench, struct stats *const *what) {
        for (unsigned int turns = 0; turns < 500 && !*what; turns++) {
                libvirt_meter_ops.read(bench->meter);
                assert_true(sd_event_run(bench->event, 20000) >= 0);
        }
        assert_non_null(*what);
}

static void memory_is_asked_for_where_bulk_statistics_have_none(void **state) {
        struct bench *bench = *state;
        virDomainPtr domain = virDomainLookupByName(bench->connection, "test");

        watch_domain(bench, domain);
        await(bench, &bench->used);
        assert_int_not_equal(bench->used->cpu_ns, STATS_UNKNOWN);
        assert_int_equal(bench->used->vcpus_current, 2);
        assert_int_not_equal(bench->used->balloon.available, STATS_UNKNOWN);
        assert_int_not_equal(bench->used->balloon.unused, STATS_UNKNOWN);
        assert_true(bench->used->balloon.available > 0);
        assert_true(bench->used->balloon.unused <= bench->used->balloon.available);
        assert_int_equal(bench->used->balloon.maximum, UINT64_C(8) << 30);
        assert_int_equal(bench->used->memory_limit_bytes, STATS_UNKNOWN);
        assert_true(bench->used->life > 0 && bench->used->mono_us > 0);
        (void) virDomainFree(domain);
}

static void a_domain_that_never_ran_has_what_its_configuration_gives(void **state) {
        static const char xml[] =
                        "<domain type='test'><name>never</name><memory>65536</memory><vcpu>3</vcpu>"
                        "<os><type>hvm</type></os><devices><disk type='file' device='disk'>"
                        "<source file='/guest/%s'/><target dev='vda'/></disk></devices></domain>";
        struct bench *bench = *state;
        struct workload workload = { .source = (char *) (uintptr_t) "libvirt:" URI };
        virDomainPtr domain = virDomainDefineXML(bench->connection, xml);

        watch_domain(bench, domain);
        workload.native_id = bench->uuid;
        libvirt_meter_ops.unwatch(bench->meter, &workload);
        await(bench, &bench->given);
        assert_true(bench->given->given_only && bench->given->has_devices);
        assert_int_equal(bench->given->vcpus_current, 3);
        assert_int_equal(bench->given->balloon.maximum, UINT64_C(64) << 20);
        assert_int_equal(bench->given->n_blocks, 1);
        assert_string_equal(bench->given->blocks[0].name, "vda");
        assert_int_not_equal(bench->given->blocks[0].capacity_bytes, STATS_UNKNOWN);
        assert_null(bench->used); /* it uses nothing */
        assert_int_equal(virDomainUndefine(domain), 0);
        (void) virDomainFree(domain);
}

static void leases_tell_addresses_where_no_agent_does(void **state) {
        struct bench *bench = *state;
        virDomainPtr domain = virDomainLookupByName(bench->connection, "test");
        virDomainInterfacePtr *interfaces = NULL;
        int n = virDomainInterfaceAddresses(
                        domain, &interfaces, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, 0);

        watch_domain(bench, domain);
        assert_true(n > 0 && interfaces[0]->naddrs > 0);
        for (unsigned int turns = 0; turns < 500 && bench->n_addresses == 0; turns++) {
                libvirt_meter_ops.read(bench->meter);
                assert_true(sd_event_run(bench->event, 20000) >= 0);
        }
        assert_string_equal(bench->address, interfaces[0]->addrs[0].addr);
        for (int i = 0; i < n; i++)
                virDomainInterfaceFree(interfaces[i]);
        free(interfaces);
        (void) virDomainFree(domain);
}

static void addresses_of_its_own_cards_come_before_those_of_its_bridges(void **state) {
        static char lo[] = "127.0.0.1", own[] = "192.0.2.7", local[] = "fe80::1",
                    six[] = "2001:db8::7", bridge[] = "172.17.0.1", none[] = "52:54:00:00:00:0F",
                    mac[] = "52:54:00:AB:00:01";
        virDomainIPAddress lo_addresses[] = { { .addr = lo } };
        virDomainIPAddress own_addresses[] = { { .addr = local }, { .addr = own }, { .addr = six },
                { .addr = NULL } };
        virDomainIPAddress bridge_addresses[] = { { .addr = bridge } };
        virDomainInterface interfaces[] = {
                { .addrs = lo_addresses, .naddrs = 1 },
                { .hwaddr = none, .addrs = bridge_addresses, .naddrs = 1 },
                { .hwaddr = mac, .addrs = own_addresses, .naddrs = ARRAY_SIZE(own_addresses) },
        };
        virDomainInterfacePtr all[] = { &interfaces[0], &interfaces[1], &interfaces[2] };
        const char macs[][18] = { "52:54:00:ab:00:01" };
        char found[WORKLOAD_ADDRESSES_MAX][WORKLOAD_ADDRESS_SIZE];

        assert_int_equal(guest_pick_addresses(all, 3, macs, 1, found), 2);
        assert_string_equal(found[0], own);
        assert_string_equal(found[1], six);
        /* A card that was passed through is in no XML: then all count. */
        assert_int_equal(guest_pick_addresses(all, 3, macs, 0, found), 3);
        assert_string_equal(found[0], bridge);
        assert_int_equal(guest_pick_addresses(all, 1, macs, 1, found), 0);
        assert_int_equal(guest_pick_addresses(NULL, 0, macs, 1, found), 0);
}

static void a_round_is_told_call_by_call_not_domain_by_domain(void **state) {
        static const struct trace_context asker = {
                .trace_id = { 0xab }, .span_id = { 0xcd }, .sampled = true
        };
        static const char *const names[] = { "libvirt open", "libvirt list", "libvirt stats" };
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct bench *bench = *state;
        virDomainPtr domain = virDomainLookupByName(bench->connection, "test");
        struct json_object *one = NULL;

        watch_domain(bench, domain);
        spans_enter(bench->spans, &asker);
        await(bench, &bench->used);
        spans_leave(bench->spans);
        all = span_json_all(bench->spans, 512);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                one = span_json_named(all, names[i]);
                if (!one)
                        fail_msg("no span %s in %s", names[i], json_object_to_json_string(all));
                assert_int_equal(json_get_int(one, "kind", 0), SPAN_CLIENT);
                assert_string_equal(json_get_string(one, "parentSpanId"), "cd00000000000000");
                assert_string_equal(span_json_value(one, "virtwatch.source", "stringValue"), URI);
                assert_null(json_get(one, "status"));
        }
        assert_string_equal(span_json_value(one, "virtwatch.domains", "intValue"), "1");
        (void) virDomainFree(domain);
}

/* One round, at least, from its beginning to its end. */
static void turn(struct bench *bench) {
        struct meter_stats before, now;

        libvirt_meter_ops.get_stats(bench->meter, &before);
        for (unsigned int turns = 0; turns < 500; turns++) {
                libvirt_meter_ops.read(bench->meter);
                assert_true(sd_event_run(bench->event, 20000) >= 0);
                libvirt_meter_ops.get_stats(bench->meter, &now);
                if (now.reads > before.reads + 1)
                        return;
        }
        fail_msg("no round ends");
}

/* No round is under way any more. */
static void settle(struct bench *bench) {
        struct meter_stats before, now;

        libvirt_meter_ops.get_stats(bench->meter, &now);
        do {
                before = now;
                for (unsigned int i = 0; i < 20; i++)
                        assert_true(sd_event_run(bench->event, 10000) >= 0);
                libvirt_meter_ops.get_stats(bench->meter, &now);
        } while (now.reads != before.reads);
}

static void a_domain_that_hung_is_left_alone_for_a_while(void **state) {
        struct bench *bench = *state;
        virDomainPtr domain = virDomainLookupByName(bench->connection, "test");
        struct meter_stats stats;

        watch_domain(bench, domain);
        set_control(VIR_DOMAIN_CONTROL_OCCUPIED, false);
        turn(bench);
        assert_int_equal(bench->n_hung, 1);
        turn(bench);
        assert_int_equal(bench->n_hung, 1);
        libvirt_meter_ops.get_stats(bench->meter, &stats);
        assert_int_equal(stats.hung, 1);
        assert_null(bench->used);

        set_control(VIR_DOMAIN_CONTROL_OK, false);
        turn(bench);
        assert_int_equal(bench->n_recovered, 1);
        for (unsigned int i = 0; i < 5; i++)
                turn(bench);
        assert_null(bench->used);
        settle(bench); /* or it would be given up, and another would know of nothing */
        (void) pthread_mutex_lock(&control.lock);
        control.later_s += 41;
        (void) pthread_mutex_unlock(&control.lock);
        turn(bench);
        assert_non_null(bench->used);
        assert_int_equal(bench->n_recovered, 1);
        (void) virDomainFree(domain);
}

static void what_ended_before_its_round_did_is_not_told_as_hung(void **state) {
        struct bench *bench = *state;
        virDomainPtr domain = virDomainLookupByName(bench->connection, "test");
        struct workload workload = { .source = (char *) (uintptr_t) "libvirt:" URI };
        struct meter_stats stats;

        watch_domain(bench, domain);
        workload.native_id = bench->uuid;
        set_control(VIR_DOMAIN_CONTROL_OCCUPIED, true);
        libvirt_meter_ops.read(bench->meter);
        (void) pthread_mutex_lock(&control.lock);
        while (control.asked == 0)
                (void) pthread_cond_wait(&control.changed, &control.lock);
        (void) pthread_mutex_unlock(&control.lock);
        libvirt_meter_ops.unwatch(bench->meter, &workload);
        (void) pthread_mutex_lock(&control.lock);
        control.held = false;
        (void) pthread_cond_broadcast(&control.changed);
        (void) pthread_mutex_unlock(&control.lock);
        do {
                assert_true(sd_event_run(bench->event, 20000) >= 0);
                libvirt_meter_ops.get_stats(bench->meter, &stats);
        } while (stats.reads == 0);
        assert_int_equal(bench->n_hung, 0);
        assert_int_equal(stats.hung, 0);
        (void) virDomainFree(domain);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(memory_is_asked_for_where_bulk_statistics_have_none),
                TEST(a_domain_that_never_ran_has_what_its_configuration_gives),
                TEST(leases_tell_addresses_where_no_agent_does),
                TEST(a_round_is_told_call_by_call_not_domain_by_domain),
                TEST(a_domain_that_hung_is_left_alone_for_a_while),
                TEST(what_ended_before_its_round_did_is_not_told_as_hung),
                cmocka_unit_test(addresses_of_its_own_cards_come_before_those_of_its_bridges),
        };

        return RUN_TESTS(tests);
}
