//! Command lines as a whole.

use std::path::Path;

use mqtt::RetainHandling;
use proptest::prelude::*;

use super::*;
use crate::format::Layout;

mod mistakes;

fn origin(arguments: &[&str]) -> Origin {
    Origin {
        arguments: arguments.iter().map(OsString::from).collect(),
        process: 4711,
        ..Origin::default()
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[track_caller]
fn run(tool: Tool, arguments: &[&str]) -> Options {
    match read(tool, &origin(arguments)) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[track_caller]
fn published(line: &str) -> (Options, Publish) {
    let mut options = run(Tool::Pub, &words(&format!("-t t -m m {line}")));
    let task = std::mem::replace(&mut options.task, Task::Publish(empty()));
    match task {
        Task::Publish(publish) => (options, publish),
        other => panic!("{other:?}"),
    }
}

fn empty() -> Publish {
    Publish {
        message: Message {
            topic: String::new(),
            source: Source::Lines,
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PropertiesBuffer::new(),
        },
        repeat: NonZeroU32::MIN,
        repeat_delay: Duration::ZERO,
    }
}

#[track_caller]
fn subscribed(line: &str) -> Subscribe {
    match run(Tool::Sub, &words(line)).task {
        Task::Subscribe(subscribe) => subscribe,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn requested(line: &str) -> Request {
    match run(Tool::Rr, &words(line)).task {
        Task::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

/// What is said on standard error.
#[track_caller]
fn refused(tool: Tool, arguments: &[&str]) -> String {
    match read(tool, &origin(arguments)) {
        Err(mistake) => mistake.standard_error(tool),
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn defaults() {
    let (options, publish) = published("");
    let connection = &options.connection;
    assert_eq!(
        connection.target,
        Target::Tcp {
            host: "localhost".into(),
            port: 1883
        }
    );
    assert!(connection.tls.is_none() && connection.proxy.is_none() && connection.bind.is_none());
    assert!(!connection.nodelay && !connection.websocket);
    let session = &options.session;
    assert_eq!(
        (session.version, session.client_identifier.as_str()),
        (Version::V311, "")
    );
    assert_eq!(
        (
            session.keep_alive,
            session.max_inflight,
            session.receive_maximum
        ),
        (60, 20, 20)
    );
    assert!(session.clean_start && session.will.is_none() && session.username.is_none());
    assert_eq!(session.session_expiry, 0);
    assert!(session.connect_properties.as_properties().is_empty());
    assert!(!options.debug && !options.quiet);
    assert_eq!(
        (publish.message.topic.as_str(), publish.message.qos),
        ("t", QoS::AtMostOnce)
    );
    assert_eq!(publish.message.source, Source::Payload(b"m".to_vec()));
    assert_eq!(
        (publish.repeat.get(), publish.repeat_delay),
        (1, Duration::ZERO)
    );
    assert!(!publish.message.retain);
}

#[test]
fn a_packet_for_each_version() {
    let bytes = |line: &str| {
        let mut bytes = Vec::new();
        published(line)
            .0
            .session
            .connect()
            .encode(&mut bytes)
            .expect("legal");
        bytes
    };
    assert_eq!(bytes(""), *b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00");
    assert_eq!(
        bytes("-V 5"),
        *b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x14\x00\x00"
    );
    assert_eq!(
        bytes("-V 5 -x 60"),
        *b"\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x08\x11\x00\x00\x00\x3c\x21\x00\x14\x00\x00"
    );
    assert_eq!(
        bytes("-V 5 -c -i abc"),
        *b"\x10\x18\x00\x04MQTT\x05\x00\x00\x3c\x08\x11\xff\xff\xff\xff\x21\x00\x14\x00\x03abc"
    );
    assert_eq!(
        bytes("-u user"),
        *b"\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x00\x00\x04user"
    );
    let old = bytes("-V mqttv31");
    assert!(old.starts_with(b"\x10\x25\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x17mosq-"));
    assert!(old[21..].iter().all(u8::is_ascii_alphanumeric) && old.len() == 39);
    assert_ne!(old, bytes("-V 31"));
}

#[test]
fn where_the_broker_is() {
    let tcp = |host: &str, port| Target::Tcp {
        host: host.into(),
        port,
    };
    for (line, expected) in [
        ("-h fc00:202::254", tcp("fc00:202::254", 1883)),
        ("--host router --port 1", tcp("router", 1)),
        ("-h a -h b -p 1 -p 65535", tcp("b", 65535)),
        ("-L mqtt://router:7/x", tcp("router", 7)),
        ("-L mqtt://router:7/x -h other", tcp("other", 7)),
        ("-L mqtts://router/x", tcp("router", 8883)),
        ("-h /tmp/socket -p 0", Target::Unix("/tmp/socket".into())),
        (
            "--unix /tmp/socket -h router",
            Target::Unix("/tmp/socket".into()),
        ),
    ] {
        assert_eq!(published(line).0.connection.target, expected, "{line}");
    }
    let connection = published("-A 10.0.0.1 --nodelay --ws --proxy socks5h://p")
        .0
        .connection;
    assert_eq!(connection.bind.as_deref(), Some("10.0.0.1"));
    assert!(connection.nodelay && connection.websocket);
    assert_eq!(connection.proxy.map(|proxy| proxy.port), Some(1080));
    assert!(published("-L ws://router/x").0.connection.websocket);
    assert!(published("-L wss://router/x").0.connection.tls.is_some());
}

#[test]
fn urls_bring_user_and_topic() {
    let (options, publish) = published("-L mqtt://house:12%33@router/a/b");
    assert_eq!(publish.message.topic, "a/b");
    assert_eq!(options.session.username.as_deref(), Some("house"));
    assert_eq!(
        options.session.password.as_ref().map(|p| p.to_vec()),
        Some(b"123".to_vec())
    );
    assert_eq!(
        subscribed("-t x -L mqtt://router/a/# -t y").filters,
        ["x", "a/#", "y"]
    );
    assert_eq!(requested("-L mqtt://router/a -e r -n").message.topic, "a");
}

#[test]
fn tls_is_turned_on() {
    let tls = |line: &str| {
        let connection = published(line).0.connection;
        let port = match connection.target {
            Target::Tcp { port, .. } => port,
            Target::Unix(_) => 0,
        };
        (connection.tls, port)
    };
    let (options, port) = tls("--cafile ca.crt");
    let options = options.expect("TLS");
    assert_eq!(
        (options.ca_file.as_deref(), port),
        (Some(Path::new("ca.crt")), 8883)
    );
    assert!(!options.os_certificates && options.psk.is_none() && !options.insecure);
    assert_eq!(tls("--cafile ca.crt -p 1883").1, 1883);
    assert_eq!(tls("--capath ca").1, 8883);
    let (options, port) = tls("--psk 0aFf --psk-identity test");
    let psk = options.and_then(|options| options.psk).expect("a key");
    assert_eq!(
        (psk.identity.as_str(), psk.key.as_slice(), port),
        ("test", [0x0a, 0xff].as_slice(), 8883)
    );
    let (options, port) = tls("-p 8883");
    assert!(options.is_some_and(|options| options.os_certificates) && port == 8883);
    let (options, port) = tls("--tls-use-os-certs");
    assert!(options.is_some_and(|options| options.os_certificates) && port == 1883);
    let (options, _) = tls(
        "--cafile a --cert c --key k --keyform pem --ciphers HIGH --tls-version tlsv1.3 --tls-alpn mqtt --insecure",
    );
    let options = options.expect("TLS");
    assert_eq!(options.certificate.as_deref(), Some(Path::new("c")));
    assert_eq!(options.private_key.as_deref(), Some(Path::new("k")));
    assert_eq!(
        (options.ciphers.as_deref(), options.alpn.as_deref()),
        (Some("HIGH"), Some("mqtt"))
    );
    assert!(options.insecure && options.version == Some(tls::Version::Tls13));
    let version = |line| tls(line).0.and_then(|options| options.version);
    assert_eq!(version("--cafile a --tls-version tlsv1.2"), None);
    assert_eq!(
        version("--psk 00 --psk-identity a --tls-version tlsv1.2"),
        Some(tls::Version::Tls12)
    );
    for line in [
        "",
        "--insecure",
        "--no-tls -p 8883",
        "--no-tls --cafile a",
        "--no-tls --psk 00 --psk-identity a",
    ] {
        assert!(tls(line).0.is_none(), "{line}");
    }
    assert_eq!(tls("--no-tls --cafile a").1, 1883);
    assert!(tls("-p 8883 --cert c --key k").0.is_some());
    assert!(
        tls("-L mqtts://router/t")
            .0
            .is_some_and(|options| options.os_certificates)
    );
}

#[test]
fn sessions() {
    let session = |line: &str| published(line).0.session;
    assert_eq!(session("-I pre").client_identifier, "pre4711");
    assert_eq!(session("-i a -i b").client_identifier, "b");
    assert!(!session("-c -i a").clean_start);
    assert_eq!(session("-c -i a").session_expiry, u32::MAX);
    assert_eq!(session("-c -I a").session_expiry, u32::MAX);
    assert_eq!(session("-c -i a -V 5 -x 7").session_expiry, 7);
    assert_eq!(session("-c -V 5 -x 7").client_identifier, "");
    for infinite in ["-1", "4294967295", "\u{221e}"] {
        assert_eq!(
            session(&format!("-V 5 -i a -x {infinite}")).session_expiry,
            u32::MAX
        );
    }
    assert_eq!(session("-x 7").version, Version::V5);
    let ignored = session("-V 311 -x 7");
    assert_eq!(
        (ignored.version, ignored.session_expiry),
        (Version::V311, 0)
    );
    assert_eq!(
        session("-c -i a -D connect session-expiry-interval 5").session_expiry,
        5
    );
    assert_eq!(session("-k 5 -M 65535").keep_alive, 5);
    assert_eq!(session("-k 65535 -M 65535").max_inflight, 65535);
    for (name, version) in [
        ("mqttv31", Version::V31),
        ("31", Version::V31),
        ("mqttv311", Version::V311),
        ("311", Version::V311),
        ("mqttv5", Version::V5),
        ("5", Version::V5),
    ] {
        assert_eq!(session(&format!("-V {name}")).version, version);
    }
    let password = session("-V 5 -P secret").password;
    assert_eq!(
        password.map(|password| password.to_vec()),
        Some(b"secret".to_vec())
    );
    assert!(!format!("{:?}", session("-u house -P secret")).contains("secret"));
}

#[test]
fn wills() {
    let (options, _) = published(
        "--will-topic w --will-payload p --will-qos 2 --will-retain -D will will-delay-interval 3",
    );
    let will = options.session.will.expect("a will");
    assert_eq!(
        (will.topic.as_str(), will.payload.as_slice()),
        ("w", b"p".as_slice())
    );
    assert_eq!((will.qos, will.retain), (QoS::ExactlyOnce, true));
    assert_eq!(
        will.properties.as_properties().will_delay_interval(),
        Some(3)
    );
    let will = published("--will-topic w").0.session.will.expect("a will");
    assert_eq!(
        (will.payload.as_slice(), will.qos, will.retain),
        (b"".as_slice(), QoS::AtMostOnce, false)
    );
    assert!(published("--will-qos 1").0.session.will.is_none());
}

#[test]
fn properties() {
    let (options, publish) = published(
        "-V 311 -D CONNECT receive-maximum 7 -D publish Content-Type text -D publish user-property k v \
         -D publish user-property k v -D publish topic-alias 3 -D disconnect reason-string bye -D subscribe \
         subscription-identifier 3",
    );
    let session = &options.session;
    assert_eq!((session.version, session.receive_maximum), (Version::V5, 7));
    assert_eq!(
        session.connect_properties.as_properties().receive_maximum(),
        Some(7)
    );
    assert_eq!(
        session
            .disconnect_properties
            .as_properties()
            .reason_string(),
        Some("bye")
    );
    let properties = publish.message.properties.as_properties();
    assert_eq!(
        (properties.content_type(), properties.topic_alias()),
        (Some("text"), Some(3))
    );
    assert_eq!(
        properties.user_properties().collect::<Vec<_>>(),
        [("k", "v"), ("k", "v")]
    );
    let subscribe = subscribed(
        "-t a -D subscribe subscription-identifier 9 -U b -D unsubscribe user-property k v",
    );
    assert_eq!(
        subscribe
            .subscribe_properties
            .as_properties()
            .subscription_identifiers()
            .next(),
        Some(9)
    );
    assert_eq!(
        subscribe
            .unsubscribe_properties
            .as_properties()
            .user_properties()
            .count(),
        1
    );
}

#[test]
fn messages() {
    let source = |line: &str| match run(Tool::Pub, &words(line)).task {
        Task::Publish(publish) => publish.message.source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source("-t t -n"), Source::Payload(Vec::new()));
    assert_eq!(source("-t t --file f"), Source::File("f".into()));
    assert_eq!(source("-t t -s"), Source::StandardInput);
    assert_eq!(source("-t t --stdin-line"), Source::Lines);
    assert_eq!(source("-t t -m -q"), Source::Payload(b"-q".to_vec()));
    let (_, publish) = published("-q 2 -r --repeat 3 --repeat-delay 0.25 -t last");
    assert_eq!(
        (publish.message.qos, publish.message.retain),
        (QoS::ExactlyOnce, true)
    );
    assert_eq!(
        (publish.repeat.get(), publish.repeat_delay),
        (3, Duration::from_millis(250))
    );
    assert_eq!(publish.message.topic, "last");
    let Task::Publish(publish) = run(Tool::Pub, &words("-t t -l --repeat 3")).task else {
        panic!("no publish");
    };
    assert_eq!(publish.repeat.get(), 1);
}

#[test]
fn payloads_are_any_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let mut origin = origin(&["-t", "t", "-m"]);
    origin.arguments.push(OsString::from_vec(vec![0xff, 0xfe]));
    let Ok(Command::Run(options)) = read(Tool::Pub, &origin) else {
        panic!("refused");
    };
    let Task::Publish(publish) = options.task else {
        panic!("no publish");
    };
    assert_eq!(publish.message.source, Source::Payload(vec![0xff, 0xfe]));
}

#[test]
fn subscriptions() {
    let subscribe = subscribed("-t a -t $share/g/b/# -q 1 -T c/+ -T d -U e -C 5 -W 7 -E");
    assert_eq!(subscribe.filters, ["a", "$share/g/b/#"]);
    assert_eq!(subscribe.options.qos, QoS::AtLeastOnce);
    assert_eq!(subscribe.filter_out, ["c/+", "d"]);
    assert_eq!(subscribe.unsubscribe, ["e"]);
    assert_eq!(subscribe.count.map(NonZeroU32::get), Some(5));
    assert_eq!(subscribe.timeout, Some(Duration::from_secs(7)));
    assert!(subscribe.exit_after_subscribe);
    assert!(subscribed("-U only").filters.is_empty());
}

#[test]
fn retained_messages() {
    for (line, retained, handling) in [
        ("-V 5", Retained::All, RetainHandling::Send),
        ("-V 5 -R", Retained::Never, RetainHandling::DoNotSend),
        ("-R", Retained::Never, RetainHandling::Send),
        ("-V 5 --retained-only", Retained::Only, RetainHandling::Send),
        (
            "-V 5 -R --remove-retained",
            Retained::Never,
            RetainHandling::Send,
        ),
        (
            "-V 5 --retain-handling new",
            Retained::All,
            RetainHandling::SendIfNew,
        ),
        (
            "-V 5 --retain-handling never",
            Retained::All,
            RetainHandling::DoNotSend,
        ),
        (
            "-V 5 -R --retain-handling always",
            Retained::Never,
            RetainHandling::Send,
        ),
        (
            "--retain-handling never",
            Retained::All,
            RetainHandling::Send,
        ),
    ] {
        let subscribe = subscribed(&format!("-t a {line}"));
        assert_eq!(subscribe.retained, retained, "{line}");
        assert_eq!(subscribe.options.retain_handling, handling, "{line}");
    }
    assert!(
        subscribed("-t a -V 5 --retain-as-published")
            .options
            .retain_as_published
    );
    assert!(
        !subscribed("-t a --retain-as-published")
            .options
            .retain_as_published
    );
    assert!(subscribed("-t a --remove-retained").remove_retained);
}

#[test]
fn no_more_is_received_than_printed() {
    for (line, expected) in [
        ("-C 3", 3),
        ("-C 19", 19),
        ("-C 20", 20),
        ("-C 70000", 20),
        ("", 20),
    ] {
        let session = run(Tool::Sub, &words(&format!("-t a -V 5 {line}"))).session;
        assert_eq!(session.receive_maximum, expected);
        let properties = session.connect_properties.as_properties();
        assert_eq!(properties.receive_maximum(), Some(expected));
    }
    let session = run(Tool::Rr, &words("-t t -e r -n")).session;
    assert_eq!(session.receive_maximum, 1);
}

#[test]
fn outputs() {
    let output = |line: &str| match subscribed(&format!("-t a {line}")).show {
        Show::Messages(output) => output,
        other => panic!("{other:?}"),
    };
    let plain = output("");
    assert!(plain.layout == Layout::Payload && plain.newline && !plain.pretty);
    assert!(output("-v").layout == Layout::Verbose);
    let formatted = output("-F %j -v -N --pretty");
    assert!(
        matches!(formatted.layout, Layout::Format(_)) && !formatted.newline && formatted.pretty
    );
    assert!(matches!(subscribed("-t a --message-rate").show, Show::Rate));
    assert!(
        matches!(subscribed("-t a -w -v").show, Show::Watch { broker, .. } if broker == "localhost")
    );
    assert_eq!(
        subscribed("-t a --random-filter 50").random_filter,
        Some(0.5)
    );
    assert_eq!(
        subscribed("-t a --random-filter 0.1").random_filter,
        Some(0.001)
    );
}

#[test]
fn requests() {
    let request = requested("-t t -e r -m m -q 1 -W 3 -R -v -D publish correlation-data x");
    let properties = request.message.properties.as_properties();
    assert_eq!(properties.response_topic(), Some("r"));
    assert_eq!(properties.correlation_data(), Some(b"x".as_slice()));
    assert_eq!(
        (request.response_topic.as_str(), request.options.qos),
        ("r", QoS::AtLeastOnce)
    );
    assert_eq!(request.options.retain_handling, RetainHandling::Send);
    assert_eq!(request.timeout, Some(Duration::from_secs(3)));
    assert!(request.skip_retained && request.output.layout == Layout::Verbose);
    let request = requested("-V 311 -t t -e r -n");
    assert!(request.message.properties.as_properties().is_empty());
}

#[test]
fn help_and_version_end_it() {
    for tool in Tool::ALL {
        for (arguments, start) in [
            (&["--help"] as &[_], tool.name().to_string()),
            (&["-d", "--help", "--nonsense"], tool.name().to_string()),
            (&["--version"], format!("{} version ", tool.name())),
        ] {
            match read(tool, &origin(arguments)) {
                Ok(Command::Print(text)) => assert!(text.starts_with(&start), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(
        refused(Tool::Pub, &["--nonsense", "--help"])
            .starts_with("Error: Unknown option '--nonsense'.")
    );
}

#[test]
fn files_come_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    std::fs::create_dir(home.join(".config")).expect("made");
    let write = |name: &str, text: &str| {
        std::fs::write(home.join(".config").join(name), text).expect("written");
    };
    write(
        "mosquitto_pub",
        "# what is always wanted\n-h router\n-q 1\n-m from the file\n-D publish user-property k v w\n",
    );
    write("mosquitto_sub", "-q 3\n");
    write("other", "-h other\n-n\n");
    let with = |tool, arguments: &[&str]| {
        read(
            tool,
            &Origin {
                home: Some(home.into()),
                ..origin(arguments)
            },
        )
    };
    let Ok(Command::Run(options)) = with(Tool::Pub, &["-t", "t", "-q", "2"]) else {
        panic!("refused");
    };
    assert_eq!(
        options.connection.target,
        Target::Tcp {
            host: "router".into(),
            port: 1883
        }
    );
    let Task::Publish(publish) = options.task else {
        panic!("no publish");
    };
    assert_eq!(publish.message.qos, QoS::ExactlyOnce);
    assert_eq!(
        publish.message.source,
        Source::Payload(b"from the file".to_vec())
    );
    let properties = publish.message.properties.as_properties();
    assert_eq!(properties.user_properties().next(), Some(("k", "v w")));
    // A source may stand in one of the two alone.
    let said =
        |result: Result<Command, Mistake>| result.expect_err("a mistake").standard_error(Tool::Pub);
    let mistake = said(with(Tool::Pub, &["-t", "t", "-m", "m"]));
    assert!(mistake.starts_with("Error: Only one type of message can be sent at once."));
    assert!(said(with(Tool::Sub, &["-t", "t"])).starts_with("Error: Invalid QoS given: 3"));
    // -o is instead of the default file, wherever it stands; its like as a value is none.
    let path = home.join(".config/other");
    let path = path.to_str().expect("text");
    let Ok(Command::Run(options)) = with(Tool::Pub, &["-t", "t", "-o", path]) else {
        panic!("refused");
    };
    assert_eq!(
        options.connection.target,
        Target::Tcp {
            host: "other".into(),
            port: 1883
        }
    );
    assert!(matches!(
        with(Tool::Pub, &["-t", "-o"]),
        Ok(Command::Run(_))
    ));
    assert!(
        said(with(Tool::Pub, &["-o", "/nonexistent"]))
            .starts_with("Error: Unable to read options file")
    );
    write("other", "-o x\n");
    assert!(
        said(with(Tool::Pub, &["-o", path]))
            .starts_with("Error: -o is not allowed in an options file.")
    );
    write("other", "-d x\n");
    assert!(said(with(Tool::Pub, &["-o", path])).starts_with("Error: Unknown option 'x'."));
}

/// Any words, most of them options.
fn any_words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let names: Vec<&'static str> = table::TABLE
        .iter()
        .flat_map(|row| row.names)
        .copied()
        .collect();
    let word = prop_oneof![
        4 => proptest::sample::select(names).prop_map(|name| name.as_bytes().to_vec()),
        2 => proptest::sample::select(vec!["t", "1", "5", "publish", "connect", "user-property", "topic-alias", "a/#", "tlsv1.2", "00", "%j"])
            .prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(1..=u8::MAX, 0..12),
    ];
    proptest::collection::vec(word, 0..12)
}

proptest! {
    #[test]
    fn no_words_panic(words in any_words(), tool in proptest::sample::select(&Tool::ALL[..])) {
        use std::os::unix::ffi::OsStringExt;
        // A file that is named is read: none here.
        let arguments = words.into_iter().filter(|word| word != b"-o").map(OsString::from_vec).collect();
        let result = read(tool, &Origin { arguments, ..Origin::default() });
        match result {
            Ok(Command::Run(options)) => {
                let mut bytes = Vec::new();
                prop_assert!(options.session.connect().encode(&mut bytes).is_ok());
            }
            Ok(Command::Print(text)) => prop_assert!(text.starts_with(tool.name())),
            Err(mistake) => prop_assert!(mistake.standard_error(tool).contains("Error")),
        }
    }
}
