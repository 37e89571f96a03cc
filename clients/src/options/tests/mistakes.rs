//! Mistakes in command lines. Their texts are those of mosquitto_pub, mosquitto_sub and mosquitto_rr 2.0, except where
//! these take what makes no sense.

use super::*;

/// Each line's options behind `base`, and the text that is expected, with the hint if it ends with `+`.
#[track_caller]
fn check_refused(tool: Tool, base: &str, cases: &[(&str, &str)]) {
    for (line, said) in cases {
        let expected = match said.strip_suffix('+') {
            Some(text) => format!(
                "{text}\nUse '{}' to see usage.\n",
                tool.name().to_owned() + " --help"
            ),
            None => said.to_string(),
        };
        let arguments = words(&format!("{base} {line}")).join(" ");
        assert_eq!(refused(tool, &words(&arguments)), expected, "{line}");
    }
}

#[test]
fn wrong_values() {
    check_refused(
        Tool::Pub,
        "-t t -m m",
        &[
            ("extra", "Error: Unknown option 'extra'.\n+"),
            ("-S", "Error: Unknown option '-S'.\n+"),
            ("-qX", "Error: Unknown option '-qX'.\n+"),
            ("--qos=1", "Error: Unknown option '--qos=1'.\n+"),
            ("--", "Error: Unknown option '--'.\n+"),
            ("-v", "Error: Unknown option '-v'.\n+"),
            ("-q", "Error: -q argument given but no QoS specified.\n\n+"),
            ("-p 70000", "Error: Invalid port given: 70000\n+"),
            ("-p -1", "Error: Invalid port given: -1\n+"),
            ("-p 1883x", "Error: Invalid port given: 1883x\n+"),
            (
                "-k 4",
                "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.\n\n+",
            ),
            (
                "-k 65536",
                "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.\n\n+",
            ),
            (
                "-k 5x",
                "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive.\n\n+",
            ),
            ("-q 3", "Error: Invalid QoS given: 3\n+"),
            ("-q x", "Error: Invalid QoS given: x\n+"),
            (
                "-M 0",
                "Error: Maximum inflight messages must be greater than 0.\n\n+",
            ),
            (
                "-M -1",
                "Error: Maximum inflight messages must be greater than 0.\n\n+",
            ),
            (
                "-M 70000",
                "Error: Maximum inflight messages must be less than 65536.\n\n+",
            ),
            (
                "-M x",
                "Error: Invalid maximum inflight messages \"x\".\n\n+",
            ),
            ("--repeat 0", "Error: --repeat argument must be >0.\n\n+"),
            ("--repeat x", "Error: --repeat argument must be >0.\n\n+"),
            (
                "--repeat-delay -1",
                "Error: --repeat-delay argument must be >=0.0.\n\n+",
            ),
            (
                "--repeat-delay inf",
                "Error: --repeat-delay argument must be >=0.0.\n\n+",
            ),
            (
                "--repeat-delay x",
                "Error: --repeat-delay argument must be >=0.0.\n\n+",
            ),
            (
                "-x foo",
                "Error: session-expiry-interval not a number.\n\n+",
            ),
            ("-x 5x", "Error: session-expiry-interval not a number.\n\n+"),
            ("-x -2", "Error: session-expiry-interval out of range.\n\n+"),
            (
                "-x 4294967296",
                "Error: session-expiry-interval out of range.\n\n+",
            ),
            (
                "-V 6",
                "Error: Invalid protocol version argument given.\n\n+",
            ),
            (
                "-i a -I b",
                "Error: -i and -I argument cannot be used together.\n\n+",
            ),
            (
                "-I b -i a",
                "Error: -i and -I argument cannot be used together.\n\n+",
            ),
            ("--will-qos 3", "Error: Invalid will QoS 3.\n\n+"),
            (
                "--will-topic a/#",
                "Error: Invalid will topic 'a/#', does it contain '+' or '#'?\n+",
            ),
            (
                "-t a/#",
                "Error: Invalid publish topic 'a/#', does it contain '+' or '#'?\n+",
            ),
            (
                "-n",
                "Error: Only one type of message can be sent at once.\n\n+",
            ),
            ("-L foo", "Error: unsupported URL scheme.\n\n+"),
            (
                "-L mqtt://h",
                "Error: Invalid URL for -L argument specified - topic missing.\n+",
            ),
            ("--proxy foo", "Error: Unsupported proxy protocol: foo\n+"),
        ],
    );
    check_refused(
        Tool::Sub,
        "-t t",
        &[
            (
                "-T a/#/b",
                "Error: Invalid filter topic 'a/#/b', are all '+' and '#' wildcards correct?\n+",
            ),
            (
                "-U a/#/b",
                "Error: Invalid unsubscribe topic 'a/#/b', are all '+' and '#' wildcards correct?\n+",
            ),
            (
                "-t a+",
                "Error: Invalid subscription topic 'a+', are all '+' and '#' wildcards correct?\n+",
            ),
            (
                "-t $share/g",
                "Error: Invalid subscription topic '$share/g': no topic filter follows the share name.\n+",
            ),
            ("-C 0", "Error: Invalid message count \"0\".\n\n+"),
            ("-C x", "Error: Invalid message count \"x\".\n\n+"),
            ("-W 0", "Error: Invalid timeout \"0\".\n\n+"),
            ("-W -1", "Error: Invalid timeout \"-1\".\n\n+"),
            (
                "-R --retained-only",
                "\nError: Combining '-R' and '--retained-only' makes no sense.\n",
            ),
            (
                "--random-filter 0",
                "Error: --random-filter chance must be between 0.1-100.0\n\n+",
            ),
            (
                "--random-filter 100.1",
                "Error: --random-filter chance must be between 0.1-100.0\n\n+",
            ),
            (
                "--random-filter nan",
                "Error: --random-filter chance must be between 0.1-100.0\n\n+",
            ),
            ("-F %z", "Error: Invalid format specifier 'z'.\n+"),
            ("-F %", "Error: Incomplete format specifier.\n+"),
            ("-F a\\", "Error: Incomplete escape specifier.\n+"),
            (
                "--retain-handling x",
                "Error: Invalid --retain-handling 'x': it must be always, new or never.\n\n+",
            ),
            (
                "-w --message-rate",
                "Error: Combining '--watch' and '--message-rate' makes no sense.\n+",
            ),
        ],
    );
}

#[test]
fn wrong_together() {
    check_refused(
        Tool::Pub,
        "-t t -m m",
        &[
            (
                "-c",
                "Error: You must provide a client id if you are using the -c option.\n+",
            ),
            (
                "-V 5 -c",
                "Error: You must provide a client id if you are using an infinite session expiry interval.\n+",
            ),
            (
                "-V 5 -x -1",
                "Error: You must provide a client id if you are using an infinite session expiry interval.\n+",
            ),
            (
                "-P foo",
                "Error: Problem setting username and/or password.\n",
            ),
            (
                "--will-payload x",
                "Error: Will payload given, but no will topic given.\n+",
            ),
            (
                "--will-retain",
                "Error: Will retain given, but no will topic given.\n+",
            ),
            (
                "--cert a",
                "Error: Both certfile and keyfile must be provided if one of them is set.\n+",
            ),
            (
                "--key a",
                "Error: Both certfile and keyfile must be provided if one of them is set.\n+",
            ),
            (
                "--cert a --key b",
                "Error: --cert and --key need one of --cafile, --capath or --tls-use-os-certs.\n+",
            ),
            (
                "--keyform pem",
                "Error: If keyform is set, keyfile must be also specified.\n+",
            ),
            (
                "--cafile a --cert a --key b --keyform x",
                "Error: Problem setting key form, it must be 'pem'.\n",
            ),
            (
                "--tls-engine x",
                "Error: TLS engines are not supported: OpenSSL has none any more.\n",
            ),
            (
                "--tls-engine-kpass-sha1 x",
                "Error: TLS engines are not supported: OpenSSL has none any more.\n",
            ),
            (
                "--psk 12",
                "Error: --psk-identity required if --psk used.\n+",
            ),
            (
                "--psk-identity 12",
                "Error: --psk required if --psk-identity used.\n+",
            ),
            (
                "--psk 12 --psk-identity x --cafile y",
                "Error: Only one of --psk or --cafile/--capath may be used at once.\n+",
            ),
            (
                "--psk 123 --psk-identity x",
                "Error: Problem setting TLS-PSK options.\n--psk must be pairs of hexadecimal digits.\n",
            ),
            (
                "--psk xy --psk-identity x",
                "Error: Problem setting TLS-PSK options.\n--psk must be pairs of hexadecimal digits.\n",
            ),
            (
                "--tls-version foo",
                "Error: Problem setting TLS options, check the options are valid.\n--tls-version is tlsv1.2 or tlsv1.3, not foo.\n",
            ),
        ],
    );
    check_refused(
        Tool::Sub,
        "",
        &[("-d", "Error: You must specify a topic to subscribe to.\n+")],
    );
    let missing = "Error: All of topic, message, and response topic must be supplied.\n+";
    check_refused(
        Tool::Rr,
        "",
        &[
            ("-t t -m m", missing),
            ("-t t -e r", missing),
            ("-e r -m m", missing),
            (
                "-t t -m m -e a/#",
                "Error: Invalid response topic 'a/#', does it contain '+' or '#'?\n+",
            ),
            (
                "-t t -m m -e r -D publish response-topic x",
                "Error in PUBLISH properties: Duplicate response topic.\n",
            ),
        ],
    );
    assert_eq!(
        refused(Tool::Pub, &["-t", "t", "-m", "m", "-i", ""]),
        "Error: Invalid id.\n"
    );
    let control =
        "Error: Malformed UTF-8 in -t argument: it contains a control character.\n\n\nUse ";
    assert!(refused(Tool::Pub, &["-t", "a\tb", "-m", "m"]).starts_with(control));
    let empty = "Error: Invalid publish topic '': it is empty.\n\nUse ";
    assert!(refused(Tool::Pub, &["-t", "", "-m", "m"]).starts_with(empty));
}

#[test]
fn wrong_properties() {
    let few = "Error: --property argument given but not enough arguments specified.\n\n+";
    check_refused(
        Tool::Pub,
        "-t t -m m",
        &[
            ("-D", few),
            ("-D publish", few),
            ("-D publish content-type", few),
            ("-D publish user-property a", few),
            (
                "-D foo user-property a b",
                "Error: Invalid command given in --property argument.\n\n+",
            ),
            (
                "-D suback reason-string b",
                "Error: Invalid command given in --property argument.\n\n+",
            ),
            (
                "-D publish foo bar",
                "Error: Invalid property name given in --property argument.\n\n+",
            ),
            (
                "-D publish session-expiry-interval 5",
                "Error: session-expiry-interval property not allowed for publish in --property argument.\n\n+",
            ),
            (
                "-D publish subscription-identifier 5",
                "Error: subscription-identifier property not supported for publish in --property argument.\n\n+",
            ),
            (
                "-D auth user-property a b",
                "Error: user-property property not supported for auth in --property argument.\n\n+",
            ),
            (
                "-D puback reason-string a",
                "Error: reason-string property not supported for puback in --property argument.\n\n+",
            ),
            (
                "-D connect maximum-qos 1",
                "Error: maximum-qos property not allowed for connect in --property argument.\n\n+",
            ),
            (
                "-D publish topic-alias 65536",
                "Error: Property value (65536) out of range for property topic-alias.\n\n+",
            ),
            (
                "-D publish topic-alias 0",
                "Error: Property value (0) out of range for property topic-alias.\n\n+",
            ),
            (
                "-D publish topic-alias x",
                "Error: Property value (x) out of range for property topic-alias.\n\n+",
            ),
            (
                "-D publish message-expiry-interval -1",
                "Error: Property value (-1) out of range for property message-expiry-interval.\n\n+",
            ),
            (
                "-D publish payload-format-indicator 2",
                "Error: Property value (2) out of range for property payload-format-indicator.\n\n+",
            ),
            (
                "-D connect receive-maximum 0",
                "Error: Property value (0) out of range for property receive-maximum.\n\n+",
            ),
            (
                "-D subscribe subscription-identifier 268435456",
                "Error: Property value (268435456) out of range for property subscription-identifier.\n\n+",
            ),
            (
                "-D publish content-type a -D publish content-type b",
                "Error in PUBLISH properties: Duplicate property in property list\n+",
            ),
            (
                "-D connect session-expiry-interval 5 -x 6",
                "Error in CONNECT properties: Duplicate property in property list\n+",
            ),
        ],
    );
    let said = refused(Tool::Pub, &words("-t t -m m -D publish response-topic a/#"));
    assert!(
        said.starts_with("Error adding property response-topic: "),
        "{said}"
    );
    let said = refused(
        Tool::Pub,
        &words("-t t -m m -D connect authentication-data x"),
    );
    assert!(said.starts_with("Error in CONNECT: "), "{said}");
}

#[test]
fn what_is_no_text_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let no_text = OsString::from_vec(vec![0xff]);
    for (tool, base, option, name) in [
        (Tool::Pub, "-m m", "-t", "-t"),
        (Tool::Pub, "-t t -m m", "--id", "-i"),
        (Tool::Pub, "-t t -m m", "--will-topic", "--will-topic"),
        (Tool::Pub, "-t t -m m", "-h", "-h"),
        (Tool::Sub, "-t t", "-T", "-T"),
        (Tool::Sub, "-t t", "--unsubscribe", "-U"),
        (Tool::Rr, "-t t -m m", "-e", "-e"),
    ] {
        let mut origin = origin(&words(base));
        origin.arguments.extend([option.into(), no_text.clone()]);
        let mistake = read(tool, &origin).expect_err("no text");
        let expected = format!(
            "Error: Malformed UTF-8 in {name} argument.\n\n\nUse '{} --help' to see usage.\n",
            tool.name()
        );
        assert_eq!(mistake.standard_error(tool), expected);
    }
    let mut origin = origin(&words("-t t -m m -u"));
    origin.arguments.push(no_text);
    let mistake = read(Tool::Pub, &origin).expect_err("no text");
    assert_eq!(
        mistake.standard_error(Tool::Pub),
        "Error: Problem setting username and/or password.\n"
    );
}

#[test]
fn only_a_publisher_without_a_message_is_shown_the_usage() {
    let mistake = read(Tool::Pub, &origin(&["-t", "t"])).expect_err("no message");
    assert_eq!(
        mistake.standard_error(Tool::Pub),
        "Error: Both topic and message must be supplied.\n"
    );
    assert!(
        mistake
            .standard_output(Tool::Pub)
            .contains("Usage: mosquitto_pub ")
    );
    let mistake = read(Tool::Sub, &origin(&[])).expect_err("no topic");
    assert_eq!(mistake.standard_output(Tool::Sub), "");
}
