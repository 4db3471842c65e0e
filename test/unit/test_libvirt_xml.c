/* What is read off a domain's XML, and off what is none. */

#include <string.h>

#include "model/stats.h"
#include "source/libvirt_xml.h"
#include "test.h"

static const char whole[] =
                "<domain type='qemu' id='3'><name>a</name>"
                "<metadata><disk xmlns='urn:x'><target dev='no'/></disk></metadata><devices>"
                "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
                "<source file='/var/lib/a &amp; b.raw' index='1'/><target dev='vda' bus='virtio'/></disk>"
                "<disk type='block' device='disk'><driver name='qemu' type='qcow2'/>"
                "<source dev='/dev/vg/b'/><target dev='vdb'/></disk>"
                "<disk type='network' device='disk'><driver type='raw'/>"
                "<source protocol='rbd' name='pool/c'/><target dev='vdc'/></disk>"
                "<disk type='file' device='cdrom'><target dev='sda'/></disk>"
                "<disk type='file'><source file='/x'/></disk>"
                "<interface type='network'><mac address='52:54:00:00:00:01'/><target dev='vnet3'/></interface>"
                "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"
                "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
                "state='connected'/></channel></devices></domain>";

static void devices_are_read_in_their_order(void **state) {
        struct libvirt_xml xml;

        assert_int_equal(libvirt_xml_parse(whole, strlen(whole), &xml), 0);
        assert_int_equal(xml.n_disks, 4); /* one has no target */
        assert_string_equal(xml.disks[0].target, "vda");
        assert_string_equal(xml.disks[0].path, "/var/lib/a & b.raw");
        assert_true(xml.disks[0].file && xml.disks[0].raw);
        assert_string_equal(xml.disks[1].path, "/dev/vg/b");
        assert_false(xml.disks[1].file || xml.disks[1].raw);
        assert_string_equal(xml.disks[2].target, "vdc");
        assert_null(xml.disks[2].path);
        assert_null(xml.disks[3].path);
        assert_int_equal(xml.n_nets, 2);
        assert_string_equal(xml.nets[0].target, "vnet3");
        assert_string_equal(xml.nets[1].target, "");
        assert_string_equal(xml.nets[1].mac, "52:54:00:00:00:02");
        assert_true(xml.agent);
        libvirt_xml_done(&xml);
}

static void an_agent_counts_only_while_it_is_connected(void **state) {
        static const char *const channels[] = {
                "<domain><devices><channel><target name='org.qemu.guest_agent.0' "
                "state='disconnected'/></channel></devices></domain>",
                "<domain><devices><channel><target name='org.qemu.guest_agent.0'/></channel>"
                "</devices></domain>",
                "<domain><devices><channel><target name='com.redhat.spice.0' state='connected'/>"
                "</channel></devices></domain>",
                "<domain/>",
        };

        for (size_t i = 0; i < ARRAY_SIZE(channels); i++) {
                struct libvirt_xml xml;

                assert_int_equal(libvirt_xml_parse(channels[i], strlen(channels[i]), &xml), 0);
                assert_false(xml.agent);
                libvirt_xml_done(&xml);
        }
}

static void what_is_no_domain_is_refused(void **state) {
        static const char *const texts[] = { "", "<domain>", "<network/>", "domain",
                "<domain/><domain/>",
                "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><d>&b;</d>" };
        struct libvirt_xml xml;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(libvirt_xml_parse(texts[i], strlen(texts[i]), &xml), -EINVAL);
        /* Cut anywhere, it is either whole or refused. */
        for (size_t size = 0; size < strlen(whole); size++)
                assert_int_equal(libvirt_xml_parse(whole, size, &xml), -EINVAL);
}

static void no_more_is_taken_than_there_is_room_for(void **state) {
        char *text = NULL;
        struct libvirt_xml xml;
        size_t size;
        FILE *file = open_memstream(&text, &size);

        assert_non_null(file);
        (void) fputs("<domain><devices><disk><target dev='", file);
        for (size_t i = 0; i < 200; i++)
                (void) fputc('x', file);
        (void) fputs("'/></disk>", file);
        for (unsigned int i = 0; i < STATS_DEVICES_MAX + 10; i++)
                (void) fprintf(file, "<disk><target dev='d%u'/></disk><interface/>", i);
        (void) fputs("</devices></domain>", file);
        (void) fclose(file);
        assert_int_equal(libvirt_xml_parse(text, size, &xml), 0);
        free(text);
        assert_int_equal(xml.n_disks, STATS_DEVICES_MAX);
        assert_string_equal(xml.disks[0].target, "d0");
        assert_int_equal(xml.n_nets, STATS_DEVICES_MAX);
        libvirt_xml_done(&xml);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(devices_are_read_in_their_order),
                cmocka_unit_test(an_agent_counts_only_while_it_is_connected),
                cmocka_unit_test(what_is_no_domain_is_refused),
                cmocka_unit_test(no_more_is_taken_than_there_is_room_for),
        };

        return RUN_TESTS(tests);
}
