//! What must hold for any value, any file and any form.

use proptest::collection::vec;
use proptest::prelude::*;
use settings::{FIELDS, Field, Kind, PREFIX, Settings, Values, form};

/// Any bytes but NUL, often those that mean something to us or to a shell.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        1u8..=255,
        proptest::sample::select(b"'\"\\\n\r\tn $`;#=".to_vec())
    ];
    vec(byte, 0..200)
}

fn known_key() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(FIELDS).prop_map(|field| field.key)
}

fn unknown_key() -> impl Strategy<Value = String> {
    "X[A-Z0-9_]{0,20}"
}

/// All sorts of values, which need not be legal.
fn values() -> impl Strategy<Value = Values> {
    (
        vec((known_key(), value()), 0..8),
        vec((unknown_key(), value()), 0..4),
    )
        .prop_map(|(known, unknown)| {
            let mut values = Values::defaults();
            known
                .into_iter()
                .for_each(|(key, value)| values.set(key, value));
            unknown
                .into_iter()
                .for_each(|(key, value)| values.set(&key, value));
            values
        })
}

/// Lines that look like settings, more or less.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(String::new()),
        "[A-Za-z0-9_ ]{1,8}",
        "(?i)mod_mqtt_broker_[a-z0-9_]{0,3}",
        known_key().prop_map(|key| format!("{PREFIX}{key}")),
    ];
    let line = (
        name,
        prop_oneof![Just(""), Just("="), Just("='"), Just("=\"")],
        value(),
        "['\"]?[ \\r]?(#.*)?",
    );
    let line = line.prop_map(|(name, equals, value, end)| {
        [name.as_bytes(), equals.as_bytes(), &value, end.as_bytes()].concat()
    });
    prop_oneof![
        vec(line, 0..6).prop_map(|lines| lines.join(&b'\n')),
        vec(any::<u8>(), 0..300)
    ]
}

fn encoded(pairs: &[(String, String)]) -> Vec<u8> {
    serde_urlencoded::to_string(pairs)
        .expect("text can be encoded")
        .into_bytes()
}

/// What a field takes once its conditions hold.
fn legal(field: &'static Field) -> BoxedStrategy<String> {
    match field.kind {
        Kind::Switch => proptest::sample::select(vec!["0", "1"])
            .prop_map(str::to_string)
            .boxed(),
        Kind::Number { min, max, .. } => (min..=max).prop_map(|number| number.to_string()).boxed(),
        Kind::Choice(choices) => proptest::sample::select(choices)
            .prop_filter("TLS is not built yet", |choice| {
                !["psk", "certificate", "certificate_cn"].contains(&choice.value)
            })
            .prop_map(|choice| choice.value.to_string())
            .boxed(),
        Kind::Text { .. } => "\\PC{1,50}".boxed(),
        Kind::Hex { .. } => "([0-9a-fA-F]{2}){1,40}".boxed(),
        Kind::Pem { .. } => "(\\PC|\\n){0,100}".boxed(),
        Kind::Address => any::<[u8; 16]>()
            .prop_map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
            .boxed(),
        Kind::Origins => "(https?://[a-z]{1,9}(:8080)?( |$)){0,3}".boxed(),
    }
}

/// A browser's form in which all fields are filled in.
fn filled_in() -> impl Strategy<Value = Vec<(&'static Field, String)>> {
    let fields: Vec<_> = FIELDS.iter().filter(|field| field.in_form).collect();
    fields
        .into_iter()
        .map(|field| legal(field).prop_map(move |value| (field, value)))
        .collect::<Vec<_>>()
}

proptest! {
    #[test]
    fn any_values_survive_the_file(values in values()) {
        let file = values.to_file();
        prop_assert_eq!(file.iter().filter(|&&byte| byte == b'\n').count(), values.iter().count());
        prop_assert_eq!(Values::parse(&file), Ok(values));
    }

    #[test]
    fn line_ends_of_windows_change_nothing(values in values()) {
        let file = values.to_file();
        let lines: Vec<_> = file.split(|&byte| byte == b'\n').collect();
        prop_assert_eq!(Values::parse(&lines.join(&b"\r\n"[..])), Ok(values));
    }

    #[test]
    fn any_file_is_read_or_refused(file in file()) {
        match Values::parse(&file) {
            Ok(values) => prop_assert_eq!(Values::parse(&values.to_file()), Ok(values)),
            Err(problems) => prop_assert!(problems.iter().all(|problem| problem.key.is_none())),
        }
        if let Err(problems) = Settings::parse(&file) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| problem.message.ends_with('.') && !problem.message.contains('\n')));
        }
    }

    #[test]
    fn keys_in_any_case_are_the_same(key in known_key(), value in value(), lower in any::<u64>()) {
        let mut values = Values::defaults();
        values.set(key, value);
        let mut file = values.to_file();
        for line in file.split_mut(|&byte| byte == b'\n') {
            let name = line.iter_mut().take_while(|byte| **byte != b'=');
            name.enumerate().filter(|(at, _)| lower >> (at % 64) & 1 == 1).for_each(|(_, byte)| byte.make_ascii_lowercase());
        }
        prop_assert_eq!(Values::parse(&file), Ok(values));
    }

    #[test]
    fn only_our_unknown_keys_are_kept(ours in unknown_key(), foreign in "[A-Z][A-Z0-9_]{0,20}", value in value()) {
        prop_assume!(!foreign.starts_with(PREFIX));
        let mut values = Values::defaults();
        values.set(&ours, value);
        let line = values.to_file().split_inclusive(|&byte| byte == b'\n').next_back().expect("a line").to_vec();
        let stripped = &line[PREFIX.len() + ours.len()..];
        let file = [foreign.as_bytes(), stripped, &line].concat();
        let read = Values::parse(&file).expect("readable");
        prop_assert_eq!(read.unknown().collect::<Vec<_>>(), [ours.as_str()]);
        prop_assert_eq!(read, values);
    }

    #[test]
    fn any_body_is_a_form_or_an_error(stored in values(), body in vec(any::<u8>(), 0..300)) {
        if let Err(error) = form::submitted(&stored, &body, &["token"]) {
            prop_assert!(error.to_string().ends_with('.'));
        }
    }

    #[test]
    fn strange_forms_do_no_harm(
        stored in values(),
        body in "((mqtt_|token)?[a-z_]{0,12}|mqtt_(port|tls|client_secret|enabled)(_clear|_shown)?)?(=|&|;|%[0-9A-F]{2}|%|\\+|\\PC){0,30}",
    ) {
        if let Ok(values) = form::submitted(&stored, body.as_bytes(), &["token"]) {
            let _ = Settings::from_values(&values);
            prop_assert_eq!(Values::parse(&values.to_file()), Ok(values));
        }
    }

    #[test]
    fn a_form_becomes_settings(form in filled_in()) {
        let mut body: Vec<_> = form
            .iter()
            .filter(|(field, value)| field.key != "ENABLED" || value == "1")
            .map(|(field, value)| (form::form_name(field.key), value.replace('\n', "\r\n")))
            .collect();
        body.push((form::marker_name("ENABLED"), "1".to_string()));
        body.push(("token".to_string(), "0123".to_string()));
        let values = form::submitted(&Values::defaults(), &encoded(&body), &["token"]).expect("a browser's form");
        for (field, value) in &form {
            prop_assert_eq!(values.get(field.key), value.as_bytes(), "{}", field.key);
        }
        let settings = Settings::from_values(&values).expect("legal");
        prop_assert_eq!(settings.enabled, values.get("ENABLED") == b"1");
        let port = settings.port.to_string();
        prop_assert_eq!(port.as_bytes(), values.get("PORT"));
        prop_assert_eq!(settings.authentication.name().as_bytes(), values.get("AUTHENTICATION"));
        prop_assert_eq!(Settings::parse(&values.to_file()), Ok(settings));
    }
}

#[test]
fn a_mebibyte_survives() {
    for pattern in [&b"'"[..], b"\\", b"\n", b"x", b"'\\\n\xff\r"] {
        let mut values = Values::defaults();
        // A quote takes four bytes in the file, whose size is limited.
        let size = if pattern == b"'" { 1 << 19 } else { 1 << 20 };
        values.set(
            "CERTIFICATE",
            pattern.iter().copied().cycle().take(size).collect(),
        );
        assert!(Values::parse(&values.to_file()).expect("readable") == values);
    }
}
