/* The libvirt source over libvirt's own test driver, in this process: what the loop is told, in
 * which order, and that it is told nothing after the end. */

#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/json.h"
#include "source/libvirt_link.h"
#include "test.h"

#define URI       "test:///default"
#define FACTS_MAX 256

/* What libvirt is asked goes through here. */
static struct {
        _Atomic(virDomainPtr) ends; /* ends once its state has been read, and that is told */
        _Atomic bool fails;         /* states cannot be had */
        _Atomic bool dead;          /* the connection is said to be */
} asked;

int virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags) {
        __typeof__(virDomainGetState) *real;
        virDomainPtr ends;
        int r;

        *(void **) &real = dlsym(RTLD_NEXT, "virDomainGetState");
        r = asked.fails ? -1 : real(domain, state, reason, flags);
        ends = r >= 0 ? atomic_exchange(&asked.ends, NULL) : NULL;
        if (ends && virDomainDestroy(ends) >= 0) /* by a connection that may */
                (void) usleep(300000);
        return r;
}

int virConnectIsAlive(virConnectPtr connection) {
        __typeof__(virConnectIsAlive) *real;

        *(void **) &real = dlsym(RTLD_NEXT, "virConnectIsAlive");
        return asked.dead ? 0 : real(connection);
}

struct bench {
        sd_event *event;
        struct source_env env;
        struct source *source;
        struct fact *facts[FACTS_MAX];
        size_t n;
        virConnectPtr connection; /* to do things with; shares the driver's domains */
        virDomainPtr domain;
};

/* The source may let go of a fact's details on another thread: the copy has its own. */
static void on_post(struct source *source, const struct fact *fact, void *userdata) {
        struct bench *bench = userdata;
        struct fact plain = *fact;

        assert_true(bench->n < FACTS_MAX);
        plain.details = NULL;
        assert_int_equal(fact_copy(&plain, &bench->facts[bench->n]), 0);
        if (fact->details)
                (void) json_object_deep_copy(fact->details, &bench->facts[bench->n]->details, NULL);
        bench->n++;
}

/* Run the loop until fact @type (and, for actions, @action) comes after fact @from. Return: its
 * index. */
static size_t await(struct bench *bench, size_t from, enum fact_type type, const char *action) {
        for (unsigned int turns = 0; turns < 500; turns++) {
                for (size_t i = from; i < bench->n; i++)
                        if (bench->facts[i]->type == type &&
                                        (!action || strcmp(bench->facts[i]->action, action) == 0))
                                return i;
                assert_true(sd_event_run(bench->event, 20000) >= 0);
        }
        fail_msg("fact %u %s did not come", type, action ? action : "");
        return 0;
}

static size_t await_up(struct bench *bench, size_t from) {
        size_t i = from;

        while (bench->facts[i = await(bench, i, FACT_SOURCE, NULL)]->source_state != SOURCE_UP)
                i++;
        return i;
}

static int set_up(void **state) {
        struct bench *bench = calloc(1, sizeof(*bench));
        const struct source_config config = { .name = "libvirt:" URI, .address = URI };

        assert_non_null(bench);
        assert_true(sd_event_new(&bench->event) >= 0);
        bench->env = (struct source_env){
                .event = bench->event, .post = on_post, .userdata = bench
        };
        assert_int_equal(libvirt_source_ops.create(&config, &bench->env, &bench->source), 0);
        assert_int_equal(libvirt_source_ops.start(bench->source), 0);
        (void) await_up(bench, 0);
        bench->connection = virConnectOpen(URI);
        assert_non_null(bench->connection);
        bench->domain = virDomainLookupByName(bench->connection, "test");
        assert_non_null(bench->domain);
        if (virDomainIsActive(bench->domain) == 0) {
                assert_int_equal(virDomainCreate(bench->domain), 0);
                (void) await(bench, 0, FACT_ACTION, "started");
        }
        *state = bench;
        return 0;
}

static int tear_down(void **state) {
        struct bench *bench = *state;

        (void) virDomainFree(bench->domain);
        (void) virConnectClose(bench->connection);
        libvirt_source_ops.stop(bench->source);
        libvirt_source_ops.settle(bench->source, clock_monotonic_us() + 2 * USEC_PER_SEC);
        libvirt_source_ops.free(bench->source);
        for (size_t i = 0; i < bench->n; i++)
                fact_free(bench->facts[i]);
        sd_event_unref(bench->event);
        free(bench);
        return 0;
}

static void a_listing_comes_before_up(void **state) {
        struct bench *bench = *state;
        size_t begin = await(bench, 0, FACT_LISTING_BEGIN, NULL);
        size_t end = await(bench, 0, FACT_LISTING_END, NULL), up = await_up(bench, 0);
        struct fact *listed = bench->facts[begin + 1];

        assert_int_equal(bench->facts[0]->type, FACT_SOURCE);
        assert_int_equal(bench->facts[0]->source_state, SOURCE_CONNECTING);
        assert_true(begin < end && end < up);
        assert_int_equal(end - begin, 2);
        assert_int_equal(listed->type, FACT_WORKLOAD);
        assert_string_equal(listed->workload.name, "test");
        assert_string_equal(listed->workload.runtime, "test");
        assert_string_equal(listed->workload.uri, URI);
        assert_int_equal(strlen(listed->workload.native_id), 36);
        assert_false(listed->workload.transient);
}

static void a_life_is_told_in_order(void **state) {
        struct bench *bench = *state;
        size_t i = bench->n;

        assert_int_equal(virDomainSuspend(bench->domain), 0);
        i = await(bench, i, FACT_ACTION, "paused");
        assert_int_equal(bench->facts[i]->workload.state, STATE_PAUSED);
        assert_string_equal(json_get_string(bench->facts[i]->details, "reason"), "paused");
        assert_int_equal(virDomainResume(bench->domain), 0);
        i = await(bench, i, FACT_ACTION, "resumed");
        assert_false(bench->facts[i]->quiet);
        assert_int_equal(bench->facts[i]->workload.state, STATE_RUNNING);

        assert_int_equal(virDomainDestroy(bench->domain), 0);
        i = await(bench, i, FACT_EXIT, NULL);
        assert_int_equal(bench->facts[i]->how, EXIT_DESTROYED);
        assert_int_equal(bench->facts[i]->code, -1);
        assert_string_equal(
                        json_get_string(bench->facts[i]->details, "libvirt_detail"), "destroyed");

        assert_int_equal(virDomainCreate(bench->domain), 0);
        i = await(bench, i, FACT_ACTION, "started");
        assert_true(bench->facts[i]->workload.started_us > 0);
        /* Then its process is looked for, quietly. */
        i = await(bench, i, FACT_WORKLOAD, NULL);
        assert_true(bench->facts[i]->quiet);
}

static void a_shutdown_of_the_guest_and_a_crash_are_told_apart(void **state) {
        struct bench *bench = *state;
        size_t i = bench->n;

        assert_int_equal(virDomainShutdown(bench->domain), 0);
        i = await(bench, i, FACT_EXIT, NULL);
        assert_int_equal(bench->facts[i]->how, EXIT_GUEST_SHUTDOWN);
        assert_int_equal(virDomainCreate(bench->domain), 0);
        i = await(bench, i, FACT_ACTION, "started");
        /* Other drivers than QEMU's tell a crash of the guest by STOPPED alone. */
        assert_int_equal(virDomainCoreDump(bench->domain, "/dev/null", VIR_DUMP_CRASH), 0);
        i = await(bench, i, FACT_EXIT, NULL);
        assert_int_equal(bench->facts[i]->how, EXIT_GUEST_PANIC);
}

static void a_transient_domain_that_ends_is_gone(void **state) {
        static const char xml[] =
                        "<domain type='test'><name>passing</name><memory>1024</memory>"
                        "<os><type>hvm</type></os></domain>";
        struct bench *bench = *state;
        virDomainPtr passing;
        size_t i = bench->n;

        passing = virDomainCreateXML(bench->connection, xml, 0);
        assert_non_null(passing);
        i = await(bench, i, FACT_ACTION, "started");
        i = await(bench, i, FACT_WORKLOAD, NULL);
        assert_true(bench->facts[i]->workload.transient);
        assert_int_equal(virDomainSuspend(passing), 0);
        i = await(bench, i, FACT_ACTION, "paused");
        assert_true(bench->facts[i]->workload.transient);
        assert_int_equal(virDomainDestroy(passing), 0);
        i = await(bench, i, FACT_EXIT, NULL);
        assert_string_equal(bench->facts[i]->workload.name, "passing");
        i = await(bench, i, FACT_REMOVED, NULL);
        assert_string_equal(bench->facts[i]->workload.native_id,
                        bench->facts[i - 1]->workload.native_id);
        (void) virDomainFree(passing);
}

static void a_domain_is_defined_renamed_and_undefined(void **state) {
        static const char xml[] =
                        "<domain type='test'><name>one</name><memory>1024</memory>"
                        "<os><type>hvm</type></os></domain>";
        struct bench *bench = *state;
        virDomainPtr one;
        size_t i = bench->n;

        one = virDomainDefineXML(bench->connection, xml);
        assert_non_null(one);
        i = await(bench, i, FACT_ACTION, "defined");
        assert_int_equal(bench->facts[i]->workload.state, STATE_CREATED);
        assert_int_equal(virDomainRename(one, "two", 0), 0);
        i = await(bench, i, FACT_ACTION, "undefined"); /* the old name; the domain is still there */
        i = await(bench, i, FACT_ACTION, "defined");
        assert_string_equal(bench->facts[i]->workload.name, "two");
        assert_int_equal(bench->facts[i]->workload.state, WORKLOAD_STATE_MAX_);
        assert_int_equal(virDomainUndefine(one), 0);
        (void) await(bench, i, FACT_REMOVED, NULL);
        (void) virDomainFree(one);
}

static void metadata_is_told_with_its_namespace(void **state) {
        struct bench *bench = *state;
        size_t i = bench->n;

        assert_int_equal(virDomainSetMetadata(bench->domain, VIR_DOMAIN_METADATA_ELEMENT, "<a/>",
                                         "k", "urn:x", VIR_DOMAIN_AFFECT_LIVE),
                        0);
        i = await(bench, i, FACT_ACTION, "metadata-changed");
        assert_string_equal(json_get_string(bench->facts[i]->details, "namespace"), "urn:x");
        assert_string_equal(bench->facts[i]->workload.name, "test");
}

static void listen_along(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                void *opaque) {
}

static void nothing_is_told_after_the_end_and_it_starts_again(void **state) {
        struct bench *bench = *state;
        struct source_stats stats;
        size_t n;
        int id;

        /* The driver's queue is one for all its connections. When its last listener goes with an
         * event left in it, those to come hear nothing: only a first one rings (libvirt's
         * object_event.c). */
        id = virConnectDomainEventRegisterAny(bench->connection, NULL,
                        VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(listen_along),
                        NULL, NULL);
        assert_true(id >= 0);
        libvirt_source_ops.stop(bench->source);
        n = bench->n;
        assert_int_equal(virDomainSuspend(bench->domain), 0);
        assert_int_equal(virDomainResume(bench->domain), 0);
        for (unsigned int i = 0; i < 10; i++)
                assert_true(sd_event_run(bench->event, 20000) >= 0);
        assert_int_equal(bench->n, n);

        assert_int_equal(libvirt_source_ops.start(bench->source), 0);
        (void) await_up(bench, n);
        assert_int_equal(virDomainSuspend(bench->domain), 0);
        n = await(bench, n, FACT_ACTION, "paused");
        assert_int_equal(virDomainResume(bench->domain), 0);
        (void) await(bench, n, FACT_ACTION, "resumed");
        libvirt_source_ops.stats(bench->source, &stats);
        assert_true(stats.raw_events > 0);
        assert_int_equal(stats.dropped, 0);
        assert_int_equal(virConnectDomainEventDeregisterAny(bench->connection, id), 0);
}

/* Its end is told to the loop before what was read of it: that must not bring it back. */
static void what_happens_while_a_domain_is_read_is_newer(void **state) {
        struct bench *bench = *state;
        size_t i = bench->n, listed = 0;

        libvirt_source_ops.stop(bench->source);
        asked.ends = bench->domain;
        assert_int_equal(libvirt_source_ops.start(bench->source), 0);
        i = await(bench, i, FACT_EXIT, NULL);
        for (size_t end = await(bench, i, FACT_LISTING_END, NULL); i < end; i++)
                if (bench->facts[i]->type == FACT_WORKLOAD)
                        listed = i;
        assert_true(listed > 0);
        assert_int_equal(bench->facts[listed]->workload.state, STATE_STOPPED);
        (void) await_up(bench, i);
}

static void a_domain_that_cannot_be_read_is_not_gone(void **state) {
        struct bench *bench = *state;
        size_t i = bench->n;

        libvirt_source_ops.stop(bench->source);
        asked.fails = true;
        assert_int_equal(libvirt_source_ops.start(bench->source), 0);
        i = await(bench, i, FACT_LISTED, NULL);
        assert_int_equal(strlen(bench->facts[i]->workload.native_id), 36);
        (void) await(bench, i, FACT_LISTING_END, NULL);
        (void) await_up(bench, i);
        asked.fails = false;
}

static void a_listing_that_the_connection_does_not_survive_is_none(void **state) {
        struct bench *bench = *state;
        size_t begin = bench->n, i;

        libvirt_source_ops.stop(bench->source);
        asked.fails = asked.dead = true;
        assert_int_equal(libvirt_source_ops.start(bench->source), 0);
        i = await(bench, begin, FACT_LISTING_BEGIN, NULL);
        i = await(bench, i, FACT_SOURCE, NULL);
        assert_int_equal(bench->facts[i]->source_state, SOURCE_DOWN);
        asked.fails = asked.dead = false;
        for (; begin < i; begin++)
                assert_true(bench->facts[begin]->type != FACT_LISTING_END &&
                                bench->facts[begin]->type != FACT_LISTED);
        (void) await(bench, i, FACT_LISTING_END, NULL);
        (void) await_up(bench, i);
}

/* It takes the connection and never answers. */
static int listen_and_hang(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 8), 0);
        return fd;
}

static void one_that_hangs_holds_nobody_up(void **state) {
        char folder[] = "/tmp/vwlXXXXXX", path[64], uri[128];
        struct source_config config = { .name = "libvirt:hung", .address = uri };
        struct bench bench = {};
        uint64_t begin_us;
        int listening, taken;

        assert_non_null(mkdtemp(folder));
        (void) snprintf(path, sizeof(path), "%s/sock", folder);
        (void) snprintf(uri, sizeof(uri), "qemu+unix:///session?socket=%s", path);
        listening = listen_and_hang(path);
        assert_true(sd_event_new(&bench.event) >= 0);
        bench.env = (struct source_env){
                .event = bench.event, .post = on_post, .userdata = &bench
        };
        assert_int_equal(libvirt_source_ops.create(&config, &bench.env, &bench.source), 0);
        assert_int_equal(libvirt_source_ops.start(bench.source), 0);
        taken = accept4(listening, NULL, NULL, SOCK_CLOEXEC); /* the thread is in its call */
        assert_true(taken >= 0);

        begin_us = clock_monotonic_us();
        libvirt_source_ops.stop(bench.source);
        assert_true(clock_monotonic_us() - begin_us < 100 * USEC_PER_MSEC);
        begin_us = clock_monotonic_us();
        libvirt_source_ops.settle(bench.source, begin_us + 50 * USEC_PER_MSEC);
        assert_in_range(clock_monotonic_us() - begin_us, 50 * USEC_PER_MSEC, USEC_PER_SEC);

        /* Its thread is in that call until this process ends, and touches nothing of the source. */
        libvirt_source_ops.free(bench.source);
        for (size_t i = 0; i < bench.n; i++)
                fact_free(bench.facts[i]);
        sd_event_unref(bench.event);
        (void) unlink(path);
        (void) rmdir(folder);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_listing_comes_before_up),
                TEST(a_life_is_told_in_order),
                TEST(a_shutdown_of_the_guest_and_a_crash_are_told_apart),
                TEST(a_transient_domain_that_ends_is_gone),
                TEST(a_domain_is_defined_renamed_and_undefined),
                TEST(metadata_is_told_with_its_namespace),
                TEST(nothing_is_told_after_the_end_and_it_starts_again),
                TEST(what_happens_while_a_domain_is_read_is_newer),
                TEST(a_domain_that_cannot_be_read_is_not_gone),
                TEST(a_listing_that_the_connection_does_not_survive_is_none),
                cmocka_unit_test(one_that_hangs_holds_nobody_up),
        };

        return RUN_TESTS(tests);
}
