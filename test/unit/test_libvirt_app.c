/* Which app a domain's metadata names; whoever may change a domain writes it. */

#include <string.h>

#include "source/libvirt_app.h"
#include "test.h"

#define NS "https://virtwatch.org/xmlns/app/1"

static void an_element_names_a_slug(void **state) {
        static const char *const texts[] = {
                "<app slug=\"my-shop\"/>",
                "<app slug='my-shop' colour='red'><more/></app>",
                "<virtwatch:app xmlns:virtwatch=\"" NS "\" slug=\"my-shop\"/>",
                "<app xmlns=\"" NS "\" slug=\"my-shop\"/>",
                "<?xml version='1.0'?>\n<!-- ours -->\n<app slug=\"my&#45;shop\"/>\n",
        };
        char slug[APP_SLUG_MAX + 1];

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                if (libvirt_app_parse(texts[i], strlen(texts[i]), slug) != 0)
                        fail_msg("%s", texts[i]);
                assert_string_equal(slug, "my-shop");
        }
}

static void what_is_no_slug_is_none(void **state) {
        static const char *const texts[] = {
                "",
                " ",
                "my-shop",
                "<app/>",
                "<app slug=\"\"/>",
                "<app slug=\"../x\"/>",
                "<app slug=\"Shop\"/>",
                "<app slug=\"-shop\"/>",
                "<app slug=\"a b\"/>",
                "<app slug=\"shop&#10;\"/>",
                "<app slug=\"\xff\"/>",
                "<app slug=\"\xc3\xa4\"/>",
                "<app slug=\"abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz0\"/>",
                "<app slug=\"shop\"",
                "<app slug=\"shop\"></other>",
                "<app slug=\"shop\" slug=\"blog\"/>",
                "<app slug=\"shop\"/><app slug=\"blog\"/>",
                "<other slug=\"shop\"/>",
                "<apps><app slug=\"shop\"/></apps>",
                "<x:app xmlns:x=\"https://other.example/\" slug=\"shop\"/>",
                "<app xmlns:x=\"" NS "\" x:slug=\"shop\"/>",
                "<!DOCTYPE app [<!ENTITY s \"shop\">]><app slug=\"&s;\"/>",
                "<!DOCTYPE app [<!ENTITY s SYSTEM \"file:///etc/hostname\">]><app slug=\"shop\">&s;</app>",
                "<!DOCTYPE app SYSTEM \"http://127.0.0.1:1/x.dtd\"><app slug=\"shop\"/>",
        };
        char slug[APP_SLUG_MAX + 1] = "untouched";

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                if (libvirt_app_parse(texts[i], strlen(texts[i]), slug) != -EINVAL)
                        fail_msg("%s", texts[i]);
                assert_string_equal(slug, "untouched");
        }
}

static void only_so_much_is_read(void **state) {
        static const char begin[] = "<app slug=\"shop\">", end[] = "</app>";
        char text[LIBVIRT_APP_XML_MAX + 2], slug[APP_SLUG_MAX + 1];

        for (size_t size = LIBVIRT_APP_XML_MAX; size <= LIBVIRT_APP_XML_MAX + 1; size++) {
                memset(text, 'x', sizeof(text));
                memcpy(text, begin, strlen(begin));
                memcpy(text + size - strlen(end), end, sizeof(end));
                assert_int_equal(libvirt_app_parse(text, size, slug),
                                size <= LIBVIRT_APP_XML_MAX ? 0 : -EINVAL);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_element_names_a_slug),
                cmocka_unit_test(what_is_no_slug_is_none),
                cmocka_unit_test(only_so_much_is_read),
        };

        return RUN_TESTS(tests);
}
