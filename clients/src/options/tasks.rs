//! What the tool is to do once it is connected, from what was noted.

use mqtt::{
    FiltersBuffer, PacketIdentifier, PropertiesBuffer, Property, QoS, RetainHandling,
    Subscribe as SubscribePacket, SubscriptionOptions, TopicFilter, TopicName, Unsubscribe,
    UnsubscribeFiltersBuffer, Version,
};

use crate::format::{Layout, Output};
use crate::options::judge::unfit;
use crate::options::mistake::Mistake;
use crate::options::parse::Noted;
use crate::options::property::Command;
use crate::options::{Message, Publish, Request, Retained, Show, Source, Subscribe};

/// Whether the properties fit the PUBLISH of this message.
fn check_message(message: &Message, version: Version) -> Result<(), Mistake> {
    let publish = mqtt::Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: message.retain,
        topic: Some(TopicName::from_valid(&message.topic)),
        packet_identifier: None,
        properties: message.properties.as_properties(),
        payload: &[],
    };
    let encoded = publish.encode(version, &mut Vec::new());
    encoded.map_err(|error| unfit("PUBLISH", error))
}

pub(super) fn publish(mut noted: Noted, version: Version) -> Result<Publish, Mistake> {
    let properties = noted.take_properties(Command::Publish);
    let (Some(topic), Some(source)) = (noted.topics.pop(), noted.source) else {
        return Err(Mistake::with_usage(
            "Error: Both topic and message must be supplied.",
        ));
    };
    let message = Message {
        topic,
        source,
        qos: noted.qos,
        retain: noted.retain,
        properties,
    };
    check_message(&message, version)?;
    let repeat = match message.source {
        Source::Lines => None,
        _ => noted.repeat,
    };
    Ok(Publish {
        message,
        repeat: repeat.unwrap_or(std::num::NonZeroU32::MIN),
        repeat_delay: noted.repeat_delay,
    })
}

fn output(noted: &mut Noted) -> Output {
    Output {
        layout: match noted.format.take() {
            Some(format) => Layout::Format(format),
            None if noted.verbose => Layout::Verbose,
            None => Layout::Payload,
        },
        newline: !noted.no_newline,
        pretty: noted.pretty,
    }
}

fn check_subscribe(
    filters: &[String],
    options: SubscriptionOptions,
    properties: &PropertiesBuffer,
    version: Version,
) -> Result<(), Mistake> {
    let mut buffer = FiltersBuffer::new();
    let pushed = filters
        .iter()
        .try_for_each(|filter| buffer.push(TopicFilter::from_valid(filter), options));
    let packet = SubscribePacket {
        packet_identifier: PacketIdentifier::MIN,
        properties: properties.as_properties(),
        filters: buffer.as_filters(),
    };
    pushed
        .and_then(|()| packet.encode(version, &mut Vec::new()))
        .map_err(|error| unfit("SUBSCRIBE", error))
}

fn check_unsubscribe(
    filters: &[String],
    properties: &PropertiesBuffer,
    version: Version,
) -> Result<(), Mistake> {
    let mut buffer = UnsubscribeFiltersBuffer::new();
    let pushed = filters
        .iter()
        .try_for_each(|filter| buffer.push(TopicFilter::from_valid(filter)));
    let packet = Unsubscribe {
        packet_identifier: PacketIdentifier::MIN,
        properties: properties.as_properties(),
        filters: buffer.as_filters(),
    };
    pushed
        .and_then(|()| packet.encode(version, &mut Vec::new()))
        .map_err(|error| unfit("UNSUBSCRIBE", error))
}

pub(super) fn subscribe(
    mut noted: Noted,
    broker: String,
    version: Version,
) -> Result<Subscribe, Mistake> {
    if noted.topics.is_empty() && noted.unsubscribe.is_empty() {
        return Err(Mistake::new(
            "Error: You must specify a topic to subscribe to.",
        ));
    }
    let retained = match (noted.no_retained, noted.retained_only) {
        (true, true) => {
            return Err(Mistake::plain(
                "\nError: Combining '-R' and '--retained-only' makes no sense.",
            ));
        }
        (true, false) => Retained::Never,
        (false, true) => Retained::Only,
        (false, false) => Retained::All,
    };
    if noted.watch && noted.message_rate {
        return Err(Mistake::new(
            "Error: Combining '--watch' and '--message-rate' makes no sense.",
        ));
    }
    // What is not to be printed need not be sent, unless it is to be removed.
    let retain_handling = match (noted.retain_handling, retained) {
        (Some(stated), _) => stated,
        (None, Retained::Never) if !noted.remove_retained => RetainHandling::DoNotSend,
        (None, _) => RetainHandling::Send,
    };
    let options = subscription_options(&noted, retain_handling, version);
    let subscribe_properties = noted.take_properties(Command::Subscribe);
    let unsubscribe_properties = noted.take_properties(Command::Unsubscribe);
    let output = output(&mut noted);
    let show = match (noted.watch, noted.message_rate) {
        (true, _) => Show::Watch { broker, output },
        (false, true) => Show::Rate,
        (false, false) => Show::Messages(output),
    };
    if !noted.topics.is_empty() {
        check_subscribe(&noted.topics, options, &subscribe_properties, version)?;
    }
    if !noted.unsubscribe.is_empty() {
        check_unsubscribe(&noted.unsubscribe, &unsubscribe_properties, version)?;
    }
    Ok(Subscribe {
        filters: noted.topics,
        options,
        subscribe_properties,
        unsubscribe: noted.unsubscribe,
        unsubscribe_properties,
        filter_out: noted.filter_out,
        retained,
        remove_retained: noted.remove_retained,
        count: noted.count,
        timeout: noted.timeout,
        exit_after_subscribe: noted.exit_after_subscribe,
        random_filter: noted.random_filter,
        show,
    })
}

/// Below 5.0 there is only the QoS.
fn subscription_options(
    noted: &Noted,
    retain_handling: RetainHandling,
    version: Version,
) -> SubscriptionOptions {
    match version {
        Version::V5 => SubscriptionOptions {
            qos: noted.qos,
            no_local: false,
            retain_as_published: noted.retain_as_published,
            retain_handling,
        },
        _ => SubscriptionOptions {
            qos: noted.qos,
            ..SubscriptionOptions::default()
        },
    }
}

pub(super) fn request(mut noted: Noted, version: Version) -> Result<Request, Mistake> {
    let mut properties = noted.take_properties(Command::Publish);
    let (Some(topic), Some(response_topic), Some(source)) = (
        noted.topics.pop(),
        noted.response_topic.take(),
        noted.source.take(),
    ) else {
        return Err(Mistake::new(
            "Error: All of topic, message, and response topic must be supplied.",
        ));
    };
    if version == Version::V5 {
        if properties.as_properties().response_topic().is_some() {
            return Err(Mistake::plain(
                "Error in PUBLISH properties: Duplicate response topic.",
            ));
        }
        properties
            .push(Property::ResponseTopic(&response_topic))
            .map_err(|error| unfit("PUBLISH", error))?;
    }
    let message = Message {
        topic,
        source,
        qos: noted.qos,
        retain: false,
        properties,
    };
    check_message(&message, version)?;
    let options = subscription_options(&noted, RetainHandling::Send, version);
    let subscribe_properties = noted.take_properties(Command::Subscribe);
    let filter = std::slice::from_ref(&response_topic);
    check_subscribe(filter, options, &subscribe_properties, version)?;
    let output = output(&mut noted);
    Ok(Request {
        message,
        options,
        subscribe_properties,
        skip_retained: noted.no_retained,
        timeout: noted.timeout,
        output,
        response_topic,
    })
}
