"""VMs whose own metadata says which app they are of."""

import json

from conftest import wait_for
from test_apps import send
from test_vms import fresh, watched  # noqa: F401

URI = "https://virtwatch.org/xmlns/app/1"


def set_app(libvirt, name, element, *flags):
    libvirt("metadata", name, "--uri", URI, "--key", "virtwatch", "--set", element, *flags)


def slug_of(one, name):
    return one.json(f"/api/v1/workloads/{name}").get("slug")


def test_a_vm_is_of_the_app_that_its_metadata_names(watched, libvirt):  # noqa: F811
    fresh(libvirt, "meta")
    watched.wait_event(name="meta", action="defined")
    assert slug_of(watched, "meta") is None
    set_app(libvirt, "meta", '<app slug="meta-shop"/>')
    wait_for(lambda: slug_of(watched, "meta") == "meta-shop", 10, "its app, though it does not run")
    app = send(watched, "GET", "/api/app-gateway/apps/meta-shop")[1]
    assert app["origin"] == "label" and len(app["workloads"]) == 1

    libvirt("start", "meta")
    watched.wait_event(name="meta", action="started", slug="meta-shop")
    set_app(libvirt, "meta", '<app slug="blog"/>', "--live")
    wait_for(lambda: slug_of(watched, "meta") == "blog", 10, "the change")
    libvirt("metadata", "meta", "--uri", "https://other.example/", "--key", "o", "--set", '<app slug="other"/>', "--live")
    watched.wait_event(name="meta", action="metadata-changed", namespace="https://other.example/")
    assert slug_of(watched, "meta") == "blog"
    libvirt("destroy", "meta")
    watched.wait_event(name="meta", action="died", slug="blog")
    rows = send(watched, "GET", "/api/app-gateway/events/blog")[1]["events"]
    assert "died" in [row["kind"] for row in rows]

    libvirt("metadata", "meta", "--uri", URI, "--remove", "--config")
    wait_for(lambda: slug_of(watched, "meta") is None, 10, "that it is of none")
    assert "labels" not in watched.json("/api/v1/workloads/meta")
    libvirt("undefine", "meta")


def test_hostile_metadata_is_no_app(watched, libvirt):  # noqa: F811
    fresh(libvirt, "hostile-meta")
    for element in ('<app slug="../x"/>', '<app slug="A"/>', "<app/>", '<other slug="shop"/>', f'<app slug="{"x" * 64}"/>',
                    f'<app slug="shop">{"y" * 5000}</app>', '<app slug="a&#10;b"/>'):
        set_app(libvirt, "hostile-meta", '<app slug="good"/>')
        wait_for(lambda: slug_of(watched, "hostile-meta") == "good", 10, "a good one")
        set_app(libvirt, "hostile-meta", element)
        wait_for(lambda: slug_of(watched, "hostile-meta") is None, 10, element[:40])
    assert [app["slug"] for app in send(watched, "GET", "/api/app-gateway/apps")[1] if "hostile" in json.dumps(app)] == []
    libvirt("undefine", "hostile-meta")


def test_metadata_is_read_of_what_was_there_before(daemon, libvirt):
    fresh(libvirt, "early")
    set_app(libvirt, "early", '<app slug="early-shop"/>')
    one = daemon({"sources.libvirt.enabled": "true", "sources.libvirt.uris": libvirt.uri})
    one.up(f"libvirt:{libvirt.uri}")
    assert slug_of(one, "early") == "early-shop"
    one.kill()
    (one.folder / "http.sock").unlink(missing_ok=True)
    libvirt("metadata", "early", "--uri", URI, "--remove")
    one.start()
    one.up(f"libvirt:{libvirt.uri}")
    wait_for(lambda: slug_of(one, "early") is None, 10, "the listing")
    assert send(one, "PUT", "/api/app-gateway/apps/bound", {"vm_name": "early"})[0] == 201
    set_app(libvirt, "early", '<app slug="early-shop"/>')
    one.wait_event(name="early", action="metadata-changed")
    assert slug_of(one, "early") == "bound"  # who binds it knows better
    libvirt("undefine", "early")


def test_a_new_definition_may_name_another_app(watched, libvirt):  # noqa: F811
    fresh(libvirt, "again")
    xml = libvirt("dumpxml", "again").stdout
    app = f"<metadata><v:app xmlns:v='{URI}' slug='redefined'/></metadata>"
    (libvirt.folder / "again2.xml").write_text(xml.replace("<memory", app + "<memory", 1))
    libvirt("define", libvirt.folder / "again2.xml")
    wait_for(lambda: slug_of(watched, "again") == "redefined", 10, "its app")
    libvirt("undefine", "again")
