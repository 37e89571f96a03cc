//! What a posted form does, and what it never does.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::router::Router;

#[test]
fn apply_stores_and_tells_the_broker() {
    let router = Router::new();
    let began = Instant::now();
    let answer = router.apply(
        "mqtt_enabled_shown=1&mqtt_enabled=on&mqtt_port=8883&mqtt_log_level=info&mqtt_tls=none\
         &mqtt_authentication=password&mqtt_client_name=Data+collector&mqtt_client_secret=a%27%24%26%3D%22b%2B+%C3%A9",
    );
    assert_eq!(
        (answer.status(), answer.header("Location")),
        ("303", Some("index.cgi?applied=1"))
    );
    let settings = router.scratch.settings();
    for line in [
        "MOD_MQTT_BROKER_ENABLED='1'",
        "MOD_MQTT_BROKER_PORT='8883'",
        "MOD_MQTT_BROKER_LOG_LEVEL='info'",
        "MOD_MQTT_BROKER_AUTHENTICATION='password'",
        "MOD_MQTT_BROKER_USERNAME='Data collector'",
        "MOD_MQTT_BROKER_PASSWORD='a'\\''$&=\"b+ é'",
    ] {
        assert!(
            settings.lines().any(|stored| stored == line),
            "{line} is missing in {settings}"
        );
    }
    let file = router.scratch.path("opt/mqtt_broker/etc/settings");
    assert_eq!(fs::metadata(file).expect("the file").mode() & 0o777, 0o600);
    let candidate = fs::read_to_string(
        router
            .scratch
            .path("opt/mqtt_broker/bin/mqtt_broker.candidate"),
    );
    assert_eq!(candidate.expect("the broker was asked"), settings);

    // The answer did not wait for the script.
    let init = router.scratch.path("opt/mqtt_broker/etc/init");
    while router.init_called().is_none() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the init script was not called"
        );
        thread::yield_now();
    }
    assert_eq!(
        router.init_called(),
        Some(format!("{} reload\n", init.display()))
    );

    let page = router.get("index.cgi", "applied=1").body;
    assert!(page.contains("window result success"));
    assert!(page.contains("Configuration successfully updated."));
    assert!(page.contains("value=\"Data collector\"") && page.contains("value=\"8883\""));
    assert!(
        !page.contains("a&#39;$&amp;"),
        "the password is not sent back"
    );
}

#[test]
fn the_answer_does_not_wait_for_the_init_script() {
    let router = Router::new();
    let token = router.token();
    let pipe = router.scratch.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    // The script cannot end before this test opens the other end, which is after the answer.
    router.scratch.script(
        "opt/mqtt_broker/etc/init",
        &format!("echo reloaded >'{}'", pipe.display()),
    );
    assert_eq!(
        router
            .post(&format!("token={token}&mqtt_port=1884"))
            .status(),
        "303"
    );
    assert_eq!(
        fs::read_to_string(pipe).expect("the script is still there"),
        "reloaded\n"
    );
}

#[test]
fn without_the_token_nothing_happens() {
    let router = Router::new();
    let token = router.token();
    let other = "0".repeat(32);
    for body in [
        "mqtt_port=8883".to_owned(),
        "token=&mqtt_port=8883".to_owned(),
        format!("token={other}&mqtt_port=8883"),
        format!("token={}&mqtt_port=8883", &token[..31]),
        format!("token={token}0&mqtt_port=8883"),
        format!("Token={token}&mqtt_port=8883"),
    ] {
        let answer = router.post(&body);
        assert_eq!(answer.status(), "403", "{body}");
        assert!(
            !answer.body.contains("8883"),
            "what another site may have sent is not shown"
        );
    }
    router.assert_untouched("");
}

#[test]
fn a_form_from_before_a_restart_is_shown_again() {
    let router = Router::new();
    let variables = [("HTTP_HOST", "router"), ("HTTP_ORIGIN", "http://router")];
    let body = format!("token={}&mqtt_port=8883", "0".repeat(32));
    let answer = router.post_with(&variables, &body);
    assert_eq!(answer.status(), "403");
    assert!(
        answer.body.contains("value=\"8883\"")
            && answer.body.contains("What was typed is still here")
    );
    assert!(
        answer.body.contains(&router.token()),
        "it can be applied now"
    );
    router.assert_untouched("");
}

#[test]
fn a_form_of_another_site_is_refused_even_with_the_token() {
    let router = Router::new();
    let body = format!("token={}&mqtt_port=8883", router.token());
    for foreign in [
        ("HTTP_ORIGIN", "http://evil.example"),
        ("HTTP_ORIGIN", "null"),
        (
            "HTTP_REFERER",
            "http://evil.example/module/mqtt_broker/index.cgi",
        ),
    ] {
        let answer = router.post_with(&[("HTTP_HOST", "192.168.1.1"), foreign], &body);
        assert_eq!(answer.status(), "403", "{foreign:?}");
    }
    router.assert_untouched("");
    let own = [
        ("HTTP_HOST", "192.168.1.1"),
        ("HTTP_ORIGIN", "http://192.168.1.1"),
    ];
    assert_eq!(router.post_with(&own, &body).status(), "303");
}

#[test]
fn a_web_server_that_hides_headers_is_no_obstacle() {
    let router = Router::new();
    let body = format!("token={}&mqtt_port=8883", router.token());
    assert_eq!(
        router
            .post_with(&[("HTTP_ORIGIN", "http://router")], &body)
            .status(),
        "303"
    );
    assert_eq!(
        router.post_with(&[("HTTP_HOST", "router")], &body).status(),
        "303"
    );
}

#[test]
fn a_refused_form_keeps_what_was_typed() {
    let router = Router::new();
    router
        .scratch
        .store("MOD_MQTT_BROKER_PASSWORD='hunter2'\nMOD_MQTT_BROKER_PSK_KEY='c0ffee'\n");
    let before = router.scratch.settings();
    let answer = router.apply(
        "mqtt_enabled_shown=1&mqtt_enabled=on&mqtt_port=70000&mqtt_log_level=debug&mqtt_tls=none&mqtt_certificate=%0D%0A%3Cpem%3E%0D%0A\
         &mqtt_authentication=password&mqtt_client_name=&mqtt_client_secret=typed+%22now%22",
    );
    assert_eq!(answer.status(), "200");
    for part in [
        "window result failure",
        "<a href=\"#mqtt_port\">Port ",
        "<a href=\"#mqtt_client_name\">Username ",
        "id=\"mqtt_port_error\"",
        "id=\"mqtt_client_name_error\"",
        "value=\"70000\"",
        "value=\"typed &quot;now&quot;\"",
        "<option value=\"debug\" selected>",
        "<option value=\"password\" selected>",
        "\n\n&lt;pem&gt;\n</textarea>",
        "type=\"checkbox\" checked>",
    ] {
        assert!(
            answer.body.contains(part),
            "{part} is missing in {}",
            answer.body
        );
    }
    assert!(!answer.body.contains("hunter2") && !answer.body.contains("c0ffee"));
    router.assert_untouched(&before);
    assert!(
        !router.get("index.cgi", "").body.contains("typed &quot;"),
        "in that one answer only"
    );
}

#[test]
fn the_brokers_own_opinion_counts() {
    let router = Router::new();
    router.scratch.verdict(
        r#"{"errors":[{"key":"PORT","label":"Port","message":"Port is odd."},{"key":null,"label":null,"message":"Too hot."}],"warnings":[]}"#,
    );
    let answer = router.apply("mqtt_port=1883");
    assert_eq!(answer.status(), "200");
    assert!(answer.body.contains("<li>Too hot.</li>"));
    assert!(answer.body.contains("<p>Port is odd.</p>"));
    router.assert_untouched("");
}

#[test]
fn the_same_error_is_told_once() {
    let router = Router::new();
    let own = settings::Settings::parse(b"MOD_MQTT_BROKER_PORT='0'\n").expect_err("no such port");
    let message = own[0].message.replace('"', "\\\"");
    router.scratch.verdict(&format!(
        "{{\"errors\":[{{\"key\":\"PORT\",\"label\":\"Port\",\"message\":\"{message}\"}}],\"warnings\":[]}}"
    ));
    let answer = router.apply("mqtt_port=0");
    assert_eq!(answer.body.matches("href=\"#mqtt_port\"").count(), 1);
}

#[test]
fn without_a_check_nothing_is_stored() {
    let router = Router::new();
    let broker = router.scratch.path("opt/mqtt_broker/bin/mqtt_broker");
    fs::remove_file(&broker).expect("the script");
    let answer = router.apply("mqtt_port=8883");
    assert!(
        answer.body.contains(
            "The settings could not be checked: the broker&#39;s program cannot be started"
        )
    );
    assert!(answer.body.contains("value=\"8883\""));
    router
        .scratch
        .script("opt/mqtt_broker/bin/mqtt_broker", "exit 139");
    assert!(
        router
            .apply("mqtt_port=8883")
            .body
            .contains("the broker&#39;s program failed")
    );
    router.assert_untouched("");
}

#[test]
fn without_an_init_script_the_page_says_so() {
    let router = Router::new();
    fs::remove_file(router.scratch.path("opt/mqtt_broker/etc/init")).expect("the script");
    let answer = router.apply("mqtt_port=8883");
    assert_eq!(answer.status(), "200");
    assert!(
        answer
            .body
            .contains("The configuration was stored, but the broker could not be told.")
    );
    assert!(
        router
            .scratch
            .settings()
            .contains("MOD_MQTT_BROKER_PORT='8883'")
    );
}

#[test]
fn an_untouched_secret_stays_and_a_ticked_box_removes_it() {
    let router = Router::new();
    router.scratch.store(
        "MOD_MQTT_BROKER_PASSWORD='hunter2'\nMOD_MQTT_BROKER_PSK_KEY='c0ffee'\nMOD_MQTT_BROKER_FUTURE='x'\n",
    );
    assert_eq!(
        router
            .apply("mqtt_port=8883&mqtt_client_secret=&mqtt_psk_key=")
            .status(),
        "303"
    );
    let settings = router.scratch.settings();
    for line in [
        "PASSWORD='hunter2'",
        "PSK_KEY='c0ffee'",
        "FUTURE='x'",
        "PORT='8883'",
    ] {
        assert!(
            settings.contains(&format!("MOD_MQTT_BROKER_{line}\n")),
            "{line}"
        );
    }
    assert_eq!(
        router.apply("mqtt_psk_key=&mqtt_psk_key_clear=on").status(),
        "303"
    );
    let settings = router.scratch.settings();
    assert!(settings.contains("MOD_MQTT_BROKER_PSK_KEY=''\n"));
    assert!(settings.contains("MOD_MQTT_BROKER_PASSWORD='hunter2'\n"));
}

#[test]
fn what_the_form_shows_it_stores_unchanged() {
    let router = Router::new();
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let posted = pem.replace('\n', "%0D%0A").replace(' ', "+");
    let fields = format!("mqtt_certificate={posted}&mqtt_client_name=%C3%9Ast%C3%AD+%3Ci%3E");
    assert_eq!(router.apply(&fields).status(), "303");
    let page = router.get("index.cgi", "").body;
    assert!(page.contains(&format!(">\n{pem}</textarea>")));
    assert!(page.contains("value=\"Ústí &lt;i&gt;\""));
    let stored = router.scratch.settings();
    assert_eq!(router.apply(&fields).status(), "303");
    assert_eq!(router.scratch.settings(), stored);
}

#[test]
fn hostile_forms_are_refused_with_a_page() {
    let router = Router::new();
    let token = router.token();
    for (body, word) in [
        ("mqtt_port=1&mqtt_port=2", "twice"),
        ("token=x", "twice"),
        ("mqtt_port=%00", "NUL"),
        ("mqtt_port=\0", "NUL"),
        ("mqtt_port=%FF", "UTF-8"),
        ("mqtt_port=%C3", "UTF-8"),
        ("mqtt_port=%", "percent"),
        ("mqtt_port=%zz", "percent"),
        ("mqtt_%3Cscript%3E=1", "unknown"),
        ("MOD_MQTT_BROKER_PORT=1", "unknown"),
    ] {
        let answer = router.post(&format!("token={token}&{body}"));
        assert_eq!(answer.status(), "400", "{body}");
        assert!(answer.body.contains(word), "{body}: {}", answer.body);
        assert!(!answer.body.contains("<script>"));
    }
    router.assert_untouched("");
}
