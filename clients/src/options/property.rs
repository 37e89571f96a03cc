//! `-D command identifier value`: properties of MQTT 5.0 for the packets that are sent.

use mqtt::{PropertiesBuffer, Property, PropertyIdentifier};

use crate::options::mistake::Mistake;

/// What a property is for: the packets that the tools send, and the Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Will,
}

impl Command {
    const ALL: [Command; 6] = [
        Command::Connect,
        Command::Publish,
        Command::Subscribe,
        Command::Unsubscribe,
        Command::Disconnect,
        Command::Will,
    ];

    const fn name(self) -> &'static str {
        match self {
            Command::Connect => "connect",
            Command::Publish => "publish",
            Command::Subscribe => "subscribe",
            Command::Unsubscribe => "unsubscribe",
            Command::Disconnect => "disconnect",
            Command::Will => "will",
        }
    }

    /// The properties it takes (MQTT 5.0 section 2.2.2.2). In DISCONNECT a Client has no use for Server Reference, but
    /// Mosquitto lets it through.
    const fn properties(self) -> &'static [PropertyIdentifier] {
        use PropertyIdentifier as Id;
        match self {
            Command::Connect => &[
                Id::SessionExpiryInterval,
                Id::ReceiveMaximum,
                Id::MaximumPacketSize,
                Id::TopicAliasMaximum,
                Id::RequestProblemInformation,
                Id::RequestResponseInformation,
                Id::AuthenticationMethod,
                Id::AuthenticationData,
                Id::UserProperty,
            ],
            Command::Publish => &[
                Id::PayloadFormatIndicator,
                Id::MessageExpiryInterval,
                Id::ContentType,
                Id::ResponseTopic,
                Id::CorrelationData,
                Id::TopicAlias,
                Id::UserProperty,
            ],
            Command::Subscribe => &[Id::SubscriptionIdentifier, Id::UserProperty],
            Command::Unsubscribe => &[Id::UserProperty],
            Command::Disconnect => &[
                Id::SessionExpiryInterval,
                Id::ReasonString,
                Id::ServerReference,
                Id::UserProperty,
            ],
            Command::Will => &[
                Id::WillDelayInterval,
                Id::PayloadFormatIndicator,
                Id::MessageExpiryInterval,
                Id::ContentType,
                Id::ResponseTopic,
                Id::CorrelationData,
                Id::UserProperty,
            ],
        }
    }
}

/// Packets that the tools send by themselves: known, but without properties.
const UNSUPPORTED: [&str; 5] = ["auth", "puback", "pubrec", "pubrel", "pubcomp"];

/// The properties that were asked for.
#[derive(Debug, Default)]
pub(super) struct Requested {
    /// By [`Command`].
    buffers: [PropertiesBuffer; Command::ALL.len()],
    /// The first that came twice.
    twice: Option<Command>,
    any: bool,
}

impl Requested {
    /// Whether there are any, which makes it MQTT 5.0.
    pub(super) const fn any(&self) -> bool {
        self.any
    }

    /// The properties of a command.
    pub(super) const fn of(&mut self, command: Command) -> &mut PropertiesBuffer {
        &mut self.buffers[command as usize]
    }

    /// How many words follow `-D command identifier`: 2 for a user property, else 1.
    pub(super) fn value_count(identifier: &[u8]) -> usize {
        if identifier.eq_ignore_ascii_case(b"user-property") {
            2
        } else {
            1
        }
    }

    /// Adds `values` as the property of this name; there are as many as [`Requested::value_count`] says.
    pub(super) fn add(
        &mut self,
        command: &[u8],
        identifier: &[u8],
        values: &[&[u8]],
    ) -> Result<(), Mistake> {
        let known = Command::ALL
            .into_iter()
            .find(|known| command.eq_ignore_ascii_case(known.name().as_bytes()));
        let unsupported = UNSUPPORTED
            .into_iter()
            .find(|known| command.eq_ignore_ascii_case(known.as_bytes()));
        if known.is_none() && unsupported.is_none() {
            return Err(wrong("Invalid command given"));
        }
        let Some((property, name)) = find(identifier) else {
            return Err(wrong("Invalid property name given"));
        };
        let Some(command) = known else {
            let command = unsupported.unwrap_or_default();
            return Err(wrong(&format!(
                "{name} property not supported for {command}"
            )));
        };
        if command == Command::Publish && property == PropertyIdentifier::SubscriptionIdentifier {
            return Err(wrong(&format!("{name} property not supported for publish")));
        }
        if !command.properties().contains(&property) {
            let command = command.name();
            return Err(wrong(&format!("{name} property not allowed for {command}")));
        }
        let is_there = self.of(command).as_properties().get(property).is_some();
        if is_there && property != PropertyIdentifier::UserProperty {
            self.twice.get_or_insert(command);
        }
        self.any = true;
        let value = values.first().copied().unwrap_or_default();
        let second = values.get(1).copied().unwrap_or_default();
        push(self.of(command), property, &name, value, second)
    }

    /// Whether a property came twice: that is looked at when all options are read.
    pub(super) fn check(&self) -> Result<(), Mistake> {
        match self.twice {
            Some(command) => Err(twice(command)),
            None => Ok(()),
        }
    }
}

/// A property may be there once.
pub(super) fn twice(command: Command) -> Mistake {
    let command = command.name().to_uppercase();
    Mistake::new(format!(
        "Error in {command} properties: Duplicate property in property list"
    ))
}

fn wrong(what: &str) -> Mistake {
    Mistake::of_option(format!("Error: {what} in --property argument."))
}

/// The property of this name, such as `session-expiry-interval`.
fn find(wanted: &[u8]) -> Option<(PropertyIdentifier, String)> {
    (0..=u8::MAX)
        .filter_map(|byte| PropertyIdentifier::try_from(byte).ok())
        .map(|identifier| (identifier, name(identifier)))
        .find(|(_, name)| wanted.eq_ignore_ascii_case(name.as_bytes()))
}

/// The standard's name as the tools write it: `Content Type` is `content-type`.
fn name(identifier: PropertyIdentifier) -> String {
    identifier.name().to_ascii_lowercase().replace(' ', "-")
}

fn push(
    properties: &mut PropertiesBuffer,
    identifier: PropertyIdentifier,
    name: &str,
    value: &[u8],
    second: &[u8],
) -> Result<(), Mistake> {
    use PropertyIdentifier as Id;
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|_| {
            Mistake::new(format!(
                "Error adding property {name}: its value is not UTF-8."
            ))
        })
    };
    let number = || {
        std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<u32>().ok())
    };
    let two = || number().and_then(|number| u16::try_from(number).ok());
    let flag = || number().filter(|number| *number <= 1);
    let out_of_range = || {
        let value = String::from_utf8_lossy(value);
        Mistake::of_option(format!(
            "Error: Property value ({value}) out of range for property {name}."
        ))
    };
    let property = match identifier {
        Id::SessionExpiryInterval => number().map(Property::SessionExpiryInterval),
        Id::MaximumPacketSize => number().map(Property::MaximumPacketSize),
        Id::MessageExpiryInterval => number().map(Property::MessageExpiryInterval),
        Id::WillDelayInterval => number().map(Property::WillDelayInterval),
        Id::SubscriptionIdentifier => number().map(Property::SubscriptionIdentifier),
        Id::ReceiveMaximum => two().map(Property::ReceiveMaximum),
        Id::TopicAliasMaximum => two().map(Property::TopicAliasMaximum),
        Id::TopicAlias => two().map(Property::TopicAlias),
        Id::RequestProblemInformation => {
            flag().map(|flag| Property::RequestProblemInformation(flag == 1))
        }
        Id::RequestResponseInformation => {
            flag().map(|flag| Property::RequestResponseInformation(flag == 1))
        }
        Id::PayloadFormatIndicator => {
            flag().map(|flag| Property::PayloadFormatIndicator(flag as u8))
        }
        Id::AuthenticationMethod => Some(Property::AuthenticationMethod(text(value)?)),
        Id::AuthenticationData => Some(Property::AuthenticationData(value)),
        Id::ContentType => Some(Property::ContentType(text(value)?)),
        Id::ResponseTopic => Some(Property::ResponseTopic(text(value)?)),
        Id::CorrelationData => Some(Property::CorrelationData(value)),
        Id::ReasonString => Some(Property::ReasonString(text(value)?)),
        Id::ServerReference => Some(Property::ServerReference(text(value)?)),
        Id::UserProperty => Some(Property::UserProperty(text(value)?, text(second)?)),
        _ => None,
    };
    properties
        .push(property.ok_or_else(out_of_range)?)
        .map_err(|error| match property {
            Some(
                Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::UserProperty(..)
                | Property::ReasonString(_)
                | Property::ServerReference(_)
                | Property::AuthenticationMethod(_)
                | Property::AuthenticationData(_)
                | Property::CorrelationData(_),
            ) => Mistake::new(format!("Error adding property {name}: {error}.")),
            _ => out_of_range(),
        })
}
