//! Installing, upgrading and deleting a package, and what happens at power-on and power-off.

mod desk;

use std::fs;

use desk::{Desk, Package, holds};
use rustix::process::Signal;

#[test]
fn a_package_comes_and_goes() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    assert!(
        simulator
            .get("/module.cgi")
            .text()
            .contains("No router app is installed.")
    );

    let reply = simulator.upload(&Package::module("app", "1.0").tgz());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(
        reply
            .text()
            .contains("Title of app 1.0 (2025-01-31) successfully added.")
    );
    assert!(
        reply
            .text()
            .contains("app: etc/init start: Called with start")
    );
    assert_eq!(desk.calls(), ["app 1.0 install root", "app 1.0 init start"]);
    simulator.log_line("app: etc/init start: Called with start");
    let list = simulator.get("/module.cgi").text();
    assert!(
        list.contains("<a href=\"/module/app/index.cgi\">Title of app</a>"),
        "{list}"
    );
    assert!(list.contains("1.0 (2025-01-31)"));
    assert!(!list.contains("no login"));

    desk.forget_calls();
    let reply = simulator.delete(&simulator.token(), "app");
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("Title of app deleted."));
    assert_eq!(
        desk.calls(),
        ["app 1.0 init stop", "app 1.0 uninstall root"]
    );
    assert!(!holds(&desk.root(), "opt/app"));
    assert_eq!(simulator.delete(&simulator.token(), "app").status, 400);
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn four_ways_to_upgrade() {
    for tree in ["keep", "replace"] {
        for uninstall in ["yes", "no"] {
            let desk = Desk::new();
            let old = desk.package(
                "old.tgz",
                &Package::module("app", "1.0").file("app/etc/old", 0o644, ""),
            );
            let new = desk.package(
                "new.tgz",
                &Package::module("app", "2.0").file("app/etc/new", 0o644, ""),
            );
            desk.start(&["--install", &old]).end(Signal::TERM);
            fs::write(desk.root().join("opt/app/etc/settings"), "mine").unwrap();
            desk.forget_calls();

            let options = [
                "--install",
                &new,
                "--upgrade",
                tree,
                "--uninstall-on-upgrade",
                uninstall,
            ];
            let simulator = desk.start(&options);
            let mut expected = vec!["app 1.0 init start", "app 1.0 init stop"];
            if uninstall == "yes" {
                expected.push("app 1.0 uninstall root");
            }
            expected.extend(["app 2.0 install root", "app 2.0 init start"]);
            assert_eq!(desk.calls(), expected, "{options:?}");
            let etc = fs::read_dir(desk.root().join("opt/app/etc")).unwrap();
            let mut names: Vec<_> = etc
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let kept: &[&str] = if tree == "keep" {
                &[
                    "init",
                    "install",
                    "name",
                    "new",
                    "old",
                    "settings",
                    "uninstall",
                    "version",
                ]
            } else {
                &["init", "install", "name", "new", "uninstall", "version"]
            };
            assert_eq!(names, kept, "{options:?}");
            assert!(
                simulator
                    .get("/module.cgi")
                    .text()
                    .contains("2.0 (2025-01-31)")
            );
            assert!(simulator.end(Signal::TERM).success());
            let opt = fs::read_dir(desk.root().join("opt")).unwrap().count();
            assert_eq!(opt, 2, "only the module and its data are left");
        }
    }
}

#[test]
fn power_on_and_off() {
    let desk = Desk::new();
    let first = desk.package("a.tgz", &Package::module("a1", "1"));
    let second = desk.package("b.tgz", &Package::module("b_2", "1"));
    let simulator = desk.start(&["--install", &second, "--install", &first]);
    // A hyphen makes it somebody's data, whatever is in it.
    fs::create_dir_all(desk.root().join("opt/a-data/etc")).unwrap();
    fs::copy(
        desk.root().join("opt/a1/etc/init"),
        desk.root().join("opt/a-data/etc/init"),
    )
    .unwrap();
    fs::write(desk.root().join("tmp/file"), "").unwrap();
    desk.forget_calls();
    assert!(simulator.end(Signal::INT).success());
    assert_eq!(desk.calls(), ["b_2 1 init stop", "a1 1 init stop"]);

    desk.forget_calls();
    let simulator = desk.start(&[]);
    assert_eq!(desk.calls(), ["a1 1 init start", "b_2 1 init start"]);
    assert!(
        !holds(&desk.root(), "tmp/file"),
        "it is a file system in memory"
    );

    desk.forget_calls();
    simulator.cut_power();
    assert!(desk.calls().is_empty());
    let simulator = desk.start(&[]);
    assert_eq!(
        desk.calls(),
        [
            "b_2 1 init stop",
            "a1 1 init stop",
            "a1 1 init start",
            "b_2 1 init start"
        ]
    );
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn scripts_that_fail() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    let package = Package::empty()
        .file(
            "app/etc/install",
            0o755,
            "#!/bin/sh\necho \"no <room>\"\nexit 7\n",
        )
        .file("app/etc/init", 0o644, "#!/bin/sh\n")
        .file("app/www/index.html", 0o644, "open");
    let reply = simulator.upload(&package.tgz());
    assert_eq!(reply.status, 200);
    let text = reply.text();
    assert!(text.contains("app: etc/install: no &lt;room&gt;"), "{text}");
    assert!(
        text.contains("app: etc/install: failed (exit status 7)"),
        "{text}"
    );
    assert!(
        text.contains(
            "etc/init start: failed (not run, for the package did not mark it executable)"
        ),
        "{text}"
    );
    let list = simulator.get("/module.cgi").text();
    assert!(
        list.contains("<a href=\"/module/app/index.html\">app</a>"),
        "{list}"
    );
    assert!(list.contains("ask for no login"), "{list}");
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn a_refused_package_changes_nothing() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    simulator.upload(&Package::module("app", "1.0").tgz());
    desk.forget_calls();
    let hostile = Package::module("app", "2.0").link("app/www/out", "../../../etc");
    let reply = simulator.upload(&hostile.tgz());
    assert_eq!(reply.status, 400);
    let sentence = "&quot;app/www/out&quot;: it is a link that leads out of the package";
    assert!(reply.text().contains(sentence), "{}", reply.text());
    simulator
        .log_line("package refused: \"app/www/out\": it is a link that leads out of the package");
    let whole = Package::module("app", "2.0").tgz();
    assert_eq!(simulator.upload(&whole[..whole.len() - 9]).status, 400);
    assert_eq!(simulator.upload(b"").status, 400);
    assert!(desk.calls().is_empty());
    assert!(
        simulator
            .get("/module.cgi")
            .text()
            .contains("1.0 (2025-01-31)")
    );
    assert!(!holds(&desk.root(), "opt/.unpack"));
    assert!(simulator.end(Signal::TERM).success());

    let hostile = desk.package("hostile.tgz", &hostile);
    let output = desk.command(&["--install", &hostile]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("hostile.tgz: \"app/www/out\": it is a link"),
        "{said}"
    );
    assert_eq!(desk.calls().last().unwrap(), "app 1.0 init stop");
}

#[test]
fn changes_need_the_token() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    let package = Package::module("app", "1.0").tgz();
    for token in ["", "0", &"0".repeat(32)] {
        assert_eq!(simulator.upload_with(token, &package).status, 403);
        assert_eq!(simulator.delete(token, "app").status, 403);
    }
    assert!(!holds(&desk.root(), "opt/app"));
    let token = simulator.token();
    assert_eq!(
        simulator
            .get(&format!("/module.cgi?token={token}&delete=app"))
            .status,
        200
    );
    simulator.upload_with(&token, &package);
    assert!(holds(&desk.root(), "opt/app/etc/init"));
    for name in ["", ".", "..", "../opt/app", "app/", "app/www", "calls-data"] {
        assert_eq!(simulator.delete(&token, name).status, 400, "{name:?}");
    }
    assert!(holds(&desk.root(), "opt/app/www") && holds(&desk.root(), "opt/calls-data"));
    assert!(simulator.end(Signal::TERM).success());
}

#[test]
fn one_simulator_to_a_root() {
    let desk = Desk::new();
    let simulator = desk.start(&[]);
    let output = desk.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("another simulator is using")
    );
    assert!(simulator.end(Signal::TERM).success());
    let output = desk.command(&["--listen", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
