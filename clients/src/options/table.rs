//! The one table of options: parser, `--help`, manual pages and tests all follow it.

use crate::Tool;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which it is.
    pub id: Id,
    /// Its names, the one that messages use first.
    pub names: &'static [&'static str],
    /// Its value; None for a flag.
    pub value: Option<Value>,
    /// The tools that know it.
    pub tools: &'static [Tool],
    /// The heading it is listed under.
    pub category: Category,
    /// What it does, for `--help`.
    pub help: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What `--help` calls it.
    pub name: &'static str,
    /// What is said when it is missing.
    pub missing: &'static str,
}

/// The headings of `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// How the broker is reached.
    Connection,
    /// Who connects, and what is agreed on.
    Session,
    /// Encryption.
    Tls,
    /// What is published.
    Message,
    /// What is subscribed to, and which messages are taken.
    Subscription,
    /// How messages are printed.
    Output,
    /// The rest.
    General,
}

impl Category {
    /// All, in the order of `--help`.
    pub const ALL: [Category; 7] = [
        Category::Connection,
        Category::Session,
        Category::Message,
        Category::Subscription,
        Category::Output,
        Category::Tls,
        Category::General,
    ];

    /// The heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Category::Connection => "Connection",
            Category::Session => "Session",
            Category::Tls => "Encryption",
            Category::Message => "Message",
            Category::Subscription => "Subscription",
            Category::Output => "Output",
            Category::General => "General",
        }
    }
}

const PUB: &[Tool] = &[Tool::Pub];
const SUB: &[Tool] = &[Tool::Sub];
const RR: &[Tool] = &[Tool::Rr];
const PUB_RR: &[Tool] = &[Tool::Pub, Tool::Rr];
const SUB_RR: &[Tool] = &[Tool::Sub, Tool::Rr];
const EACH: &[Tool] = &Tool::ALL;

/// One line an option: identifier, names, value (name and what is said when it is missing), tools, category, help.
macro_rules! options {
    ($($id:ident: [$($name:literal),+], $value:expr, $tools:ident, $category:ident, $help:literal;)*) => {
        /// The options.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is described by its row")]
        pub enum Id {
            $($id,)*
        }

        /// All options of the three tools.
        pub const TABLE: &[Row] = &[
            $(Row {
                id: Id::$id,
                names: &[$($name),+],
                value: $value,
                tools: $tools,
                category: Category::$category,
                help: $help,
            },)*
        ];
    };
}

const FLAG: Option<Value> = None;

const fn value(name: &'static str, missing: &'static str) -> Option<Value> {
    Some(Value { name, missing })
}

#[rustfmt::skip]
options! {
    Host: ["-h", "--host"], value("host", "-h argument given but no host specified."), EACH, Connection,
        "name or address of the broker, IPv6 addresses without brackets. Default: localhost";
    Port: ["-p", "--port"], value("port", "-p argument given but no port specified."), EACH, Connection,
        "port of the broker. Default: 1883, with --cafile, --capath or --psk 8883. Port 8883 alone turns on TLS with the \
         system's certificates; with port 0, -h is the path of a unix socket";
    Url: ["-L", "--url"], value("url", "-L argument given but no URL specified."), EACH, Connection,
        "broker and topic at once: mqtt://[username[:password]@]host[:port]/topic, with mqtts:// encrypted, with ws:// and \
         wss:// through a WebSocket";
    Unix: ["--unix"], value("path", "--unix argument given but no socket path specified."), EACH, Connection,
        "connect to this unix socket instead of a host and port";
    Bind: ["-A"], value("address", "-A argument given but no address specified."), EACH, Connection,
        "connect from this local address";
    NoDelay: ["--nodelay"], FLAG, EACH, Connection,
        "send small packets at once (TCP_NODELAY)";
    WebSocket: ["--ws"], FLAG, EACH, Connection,
        "speak MQTT through a WebSocket, path /mqtt";
    Proxy: ["--proxy"], value("url", "--proxy argument given but no proxy url specified."), EACH, Connection,
        "connect through a SOCKS5 proxy: socks5h://[username[:password]@]host[:port], port 1080 by default";
    KeepAlive: ["-k", "--keepalive"], value("seconds", "-k argument given but no keepalive specified."), EACH, Connection,
        "keep alive, 5 to 65535 seconds. Default: 60";

    ClientId: ["-i", "--id"], value("id", "-i argument given but no id specified."), EACH, Session,
        "client identifier. Default: none, the broker chooses one (with -V mqttv31 a random one)";
    ClientIdPrefix: ["-I", "--id-prefix"], value("prefix", "-I argument given but no id prefix specified."), EACH, Session,
        "client identifier made of this and the process's number";
    DisableCleanSession: ["-c", "--disable-clean-session"], FLAG, EACH, Session,
        "resume the session, and leave it on the broker: without end, if -x states none. Needs an identifier";
    SessionExpiry: ["-x"], value("seconds", "-x argument given but no session expiry interval specified."), EACH, Session,
        "how long the broker keeps the session after the end, 0 to 4294967295 seconds; -1 and \u{221e} are for ever. MQTT 5";
    ProtocolVersion: ["-V", "--protocol-version"],
        value("version", "--protocol-version argument given but no version specified."), EACH, Session,
        "mqttv5, mqttv311 or mqttv31, also 5, 311 and 31. Default: mqttv311, that of mosquitto_rr mqttv5";
    Username: ["-u", "--username"], value("name", "-u argument given but no username specified."), EACH, Session,
        "user name";
    Password: ["-P", "--pw"], value("password", "-P argument given but no password specified."), EACH, Session,
        "password. Everyone on the machine can read it there; in the options file only you can";
    Property: ["-D", "--property"],
        value("command identifier value", "--property argument given but not enough arguments specified."), EACH, Session,
        "add a property of MQTT 5 to the packets of a command (connect, publish, subscribe, unsubscribe, disconnect, will). \
         user-property takes a name and a value. May be repeated";
    MaxInflight: ["-M"], value("number", "-M argument given but max_inflight not specified."), EACH, Session,
        "messages of QoS 1 and 2 under way at a time, 1 to 65535. Default: 20";
    WillTopic: ["--will-topic"], value("topic", "--will-topic argument given but no will topic specified."), EACH, Session,
        "topic of the will, which the broker publishes if the connection is lost";
    WillPayload: ["--will-payload"],
        value("payload", "--will-payload argument given but no will payload specified."), EACH, Session,
        "payload of the will. Default: empty";
    WillQos: ["--will-qos"], value("qos", "--will-qos argument given but no will QoS specified."), EACH, Session,
        "QoS of the will, 0 to 2. Default: 0";
    WillRetain: ["--will-retain"], FLAG, EACH, Session,
        "have the will retained";

    Topic: ["-t", "--topic"], value("topic", "-t argument given but no topic specified."), PUB_RR, Message,
        "topic to publish to";
    Message: ["-m", "--message"], value("message", "-m argument given but no message specified."), PUB_RR, Message,
        "the payload";
    File: ["-f", "--file"], value("file", "-f argument given but no file specified."), PUB_RR, Message,
        "the payload is all of this file";
    StandardInput: ["-s", "--stdin-file"], FLAG, PUB_RR, Message,
        "the payload is all of standard input";
    Lines: ["-l", "--stdin-line"], FLAG, PUB, Message,
        "each line of standard input is a message";
    Null: ["-n", "--null-message"], FLAG, PUB_RR, Message,
        "the payload is empty; with -r this clears a retained message";
    PublishQos: ["-q", "--qos"], value("qos", "-q argument given but no QoS specified."), PUB_RR, Message,
        "QoS, 0 to 2. Default: 0";
    Retain: ["-r", "--retain"], FLAG, PUB, Message,
        "have the message retained";
    Repeat: ["--repeat"], value("count", "--repeat argument given but no count specified."), PUB, Message,
        "publish so many times (not with -l)";
    RepeatDelay: ["--repeat-delay"], value("seconds", "--repeat-delay argument given but no time specified."), PUB, Message,
        "with --repeat, the pause after each delivery, decimals allowed. Default: 0";

    Filter: ["-t", "--topic"], value("filter", "-t argument given but no topic specified."), SUB, Subscription,
        "topic filter to subscribe to. May be repeated";
    ResponseTopic: ["-e"], value("topic", "-e argument given but no response topic specified."), RR, Subscription,
        "topic of the response";
    Unsubscribe: ["-U", "--unsubscribe"],
        value("filter", "-U argument given but no unsubscribe topic specified."), SUB, Subscription,
        "topic filter to unsubscribe from. May be repeated";
    SubscribeQos: ["-q", "--qos"], value("qos", "-q argument given but no QoS specified."), SUB, Subscription,
        "highest QoS to receive, 0 to 2. Default: 0";
    FilterOut: ["-T", "--filter-out"],
        value("filter", "-T argument given but no topic filter specified."), SUB, Subscription,
        "pass over messages whose topic matches this. May be repeated";
    NoRetained: ["-R"], FLAG, SUB_RR, Subscription,
        "pass over retained messages";
    RetainedOnly: ["--retained-only"], FLAG, SUB, Subscription,
        "print retained messages only, and end at the first other one";
    RemoveRetained: ["--remove-retained"], FLAG, SUB, Subscription,
        "have the broker forget each retained message that is received and not passed over by -T";
    RetainAsPublished: ["--retain-as-published"], FLAG, SUB_RR, Subscription,
        "receive the retain flag as the publisher has set it. MQTT 5";
    RetainHandling: ["--retain-handling"],
        value("when", "--retain-handling argument given but no option specified."), SUB, Subscription,
        "when retained messages are to be sent: always, new (with a new subscription only) or never. MQTT 5. Default: always";
    Count: ["-C"], value("number", "-C argument given but no count specified."), SUB, Subscription,
        "end after so many messages";
    Timeout: ["-W"], value("seconds", "-W argument given but no timeout specified."), SUB_RR, Subscription,
        "end after so many seconds, with exit status 27";
    ExitAfterSubscribe: ["-E"], FLAG, SUB, Subscription,
        "end as soon as the broker has acknowledged the subscriptions";

    Verbose: ["-v", "--verbose"], FLAG, SUB_RR, Output,
        "print the topic before the payload";
    Format: ["-F"], value("format", "-F argument given but no format specified."), SUB_RR, Output,
        "print by this format: %t topic, %p payload, %x hexadecimal payload, %l its length, %q QoS, %r retain flag, \
         %m packet identifier, %j JSON, %I date and time, %U seconds since 1970, @X as strftime's %X; the manual has all";
    NoNewline: ["-N"], FLAG, SUB_RR, Output,
        "no newline after a message";
    Pretty: ["--pretty"], FLAG, SUB_RR, Output,
        "indent JSON";
    RandomFilter: ["--random-filter"],
        value("percent", "--random-filter argument given but no chance specified."), SUB, Output,
        "print this share of the messages, picked by chance: 0.1 to 100 percent";
    Watch: ["-w", "--watch"], FLAG, SUB, Output,
        "keep a line of the terminal for each topic, with its latest message";
    MessageRate: ["--message-rate"], FLAG, SUB, Output,
        "print the number of messages received in each second instead of the messages";

    CaFile: ["--cafile"], value("file", "--cafile argument given but no file specified."), EACH, Tls,
        "turn on TLS; trust the certificate authorities in this PEM file";
    CaPath: ["--capath"], value("directory", "--capath argument given but no directory specified."), EACH, Tls,
        "turn on TLS; trust the certificate authorities in this directory, named by their hashes";
    OsCertificates: ["--tls-use-os-certs"], FLAG, EACH, Tls,
        "turn on TLS; trust the system's certificate authorities";
    Certificate: ["--cert"], value("file", "--cert argument given but no file specified."), EACH, Tls,
        "PEM file of the client's certificate; needs --key";
    PrivateKey: ["--key"], value("file", "--key argument given but no file specified."), EACH, Tls,
        "PEM file of the client's private key. If it is encrypted, its password is asked for at the terminal";
    KeyForm: ["--keyform"], value("form", "--keyform argument given but no keyform specified."), EACH, Tls,
        "form of the private key, which can only be pem";
    Engine: ["--tls-engine"], value("engine", "--tls-engine argument given but no engine_id specified."), EACH, Tls,
        "not supported: OpenSSL has no engines any more";
    EnginePassword: ["--tls-engine-kpass-sha1"],
        value("sha1", "--tls-engine-kpass-sha1 argument given but no kpass sha1 specified."), EACH, Tls,
        "not supported: OpenSSL has no engines any more";
    Ciphers: ["--ciphers"], value("ciphers", "--ciphers argument given but no ciphers specified."), EACH, Tls,
        "cipher suites up to TLS 1.2, a list as OpenSSL reads it";
    TlsVersion: ["--tls-version"], value("version", "--tls-version argument given but no version specified."), EACH, Tls,
        "tlsv1.2 or tlsv1.3: the least version, with --psk the only one. Default: tlsv1.2 or newer";
    Alpn: ["--tls-alpn"], value("protocol", "--tls-alpn argument given but no protocol specified."), EACH, Tls,
        "application protocol to ask for, such as mqtt";
    Insecure: ["--insecure"], FLAG, EACH, Tls,
        "accept a certificate that is for another host. Whoever has one can then be taken for the broker";
    Psk: ["--psk"], value("hex-key", "--psk argument given but no key specified."), EACH, Tls,
        "turn on TLS with this pre-shared key, in hexadecimal; needs --psk-identity";
    PskIdentity: ["--psk-identity"],
        value("identity", "--psk-identity argument given but no identity specified."), EACH, Tls,
        "the name of the pre-shared key";
    NoTls: ["--no-tls"], FLAG, EACH, Tls,
        "no TLS, whatever the other options say";

    OptionsFile: ["-o"], value("file", "-o argument given but no options file specified."), EACH, General,
        "read options from this file, instead of the one in $XDG_CONFIG_HOME or $HOME/.config that has the tool's name";
    Debug: ["-d", "--debug"], FLAG, EACH, General,
        "print what is sent and received";
    Quiet: ["--quiet"], FLAG, EACH, General,
        "print no errors";
    Help: ["--help"], FLAG, EACH, General,
        "print this";
    Version: ["--version"], FLAG, EACH, General,
        "print the version";
}

impl Row {
    /// The option that this tool knows by this name.
    pub fn find(tool: Tool, name: &[u8]) -> Option<&'static Row> {
        Row::of(tool).find(|row| row.names.iter().any(|known| known.as_bytes() == name))
    }

    /// The options of a tool, in the table's order.
    pub fn of(tool: Tool) -> impl Iterator<Item = &'static Row> {
        TABLE.iter().filter(move |row| row.tools.contains(&tool))
    }

    /// The name that messages use.
    pub const fn name(&self) -> &'static str {
        self.names[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_option_of_a_tool() {
        for tool in Tool::ALL {
            let mut names: Vec<_> = Row::of(tool).flat_map(|row| row.names).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", tool.name());
        }
    }

    #[test]
    fn names_have_their_form() {
        for name in TABLE.iter().flat_map(|row| row.names) {
            let rest = name.strip_prefix('-').expect("begins with -");
            match rest.strip_prefix('-') {
                Some(long) => assert!(
                    long.len() > 1
                        && long
                            .bytes()
                            .all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'1'),
                    "{name}"
                ),
                None => assert_eq!(rest.len(), 1, "{name}"),
            }
        }
    }

    #[test]
    fn a_missing_value_is_told_by_the_option_s_name() {
        for row in TABLE {
            if let Some(value) = row.value {
                let named = row.names.iter().any(|name| value.missing.starts_with(name));
                assert!(
                    named && value.missing.ends_with("specified."),
                    "{:?}",
                    row.id
                );
                assert!(!value.name.is_empty());
            }
        }
    }

    #[test]
    fn what_each_tool_knows() {
        let knows = |tool, name: &str| Row::find(tool, name.as_bytes()).map(|row| row.id);
        assert_eq!(knows(Tool::Pub, "-t"), Some(Id::Topic));
        assert_eq!(knows(Tool::Sub, "--topic"), Some(Id::Filter));
        assert_eq!(knows(Tool::Rr, "-t"), Some(Id::Topic));
        for (name, tools) in [
            ("-m", PUB_RR),
            ("-f", PUB_RR),
            ("-s", PUB_RR),
            ("-n", PUB_RR),
            ("-l", PUB),
            ("-r", PUB),
            ("--repeat", PUB),
            ("-C", SUB),
            ("-E", SUB),
            ("-T", SUB),
            ("-U", SUB),
            ("-R", SUB_RR),
            ("-W", SUB_RR),
            ("-N", SUB_RR),
            ("-v", SUB_RR),
            ("-F", SUB_RR),
            ("--retain-as-published", SUB_RR),
            ("-e", RR),
            ("-M", EACH),
            ("-S", &[]),
        ] {
            for tool in Tool::ALL {
                assert_eq!(
                    knows(tool, name).is_some(),
                    tools.contains(&tool),
                    "{} {name}",
                    tool.name()
                );
            }
        }
    }
}
