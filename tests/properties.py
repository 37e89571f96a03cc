"""The properties of MQTT 5.0 (section 2.2.2), by hand in both directions."""

import struct

import wire

# Name: identifier, form (Table 2-4), and the packets of a server that may have it. Forms: b byte, h two bytes, i four
# bytes, v variable byte integer, s string, d binary data, p pair of strings.
TABLE = {
    "payload_format_indicator": (0x01, "b", {wire.PUBLISH}),
    "message_expiry_interval": (0x02, "i", {wire.PUBLISH}),
    "content_type": (0x03, "s", {wire.PUBLISH}),
    "response_topic": (0x08, "s", {wire.PUBLISH}),
    "correlation_data": (0x09, "d", {wire.PUBLISH}),
    "subscription_identifier": (0x0B, "v", {wire.PUBLISH}),
    "session_expiry_interval": (0x11, "i", {wire.CONNACK}),
    "assigned_client_identifier": (0x12, "s", {wire.CONNACK}),
    "server_keep_alive": (0x13, "h", {wire.CONNACK}),
    "authentication_method": (0x15, "s", {wire.CONNACK, wire.AUTH}),
    "authentication_data": (0x16, "d", {wire.CONNACK, wire.AUTH}),
    "request_problem_information": (0x17, "b", set()),
    "will_delay_interval": (0x18, "i", set()),
    "request_response_information": (0x19, "b", set()),
    "response_information": (0x1A, "s", {wire.CONNACK}),
    "server_reference": (0x1C, "s", {wire.CONNACK, wire.DISCONNECT}),
    "reason_string": (0x1F, "s", {wire.CONNACK, wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP, wire.SUBACK,
                                  wire.UNSUBACK, wire.DISCONNECT, wire.AUTH}),
    "receive_maximum": (0x21, "h", {wire.CONNACK}),
    "topic_alias_maximum": (0x22, "h", {wire.CONNACK}),
    "topic_alias": (0x23, "h", {wire.PUBLISH}),
    "maximum_qos": (0x24, "b", {wire.CONNACK}),
    "retain_available": (0x25, "b", {wire.CONNACK}),
    "user_property": (0x26, "p", {wire.CONNACK, wire.PUBLISH, wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP,
                                  wire.SUBACK, wire.UNSUBACK, wire.DISCONNECT, wire.AUTH}),
    "maximum_packet_size": (0x27, "i", {wire.CONNACK}),
    "wildcard_subscription_available": (0x28, "b", {wire.CONNACK}),
    "subscription_identifier_available": (0x29, "b", {wire.CONNACK}),
    "shared_subscription_available": (0x2A, "b", {wire.CONNACK}),
}
NAMES = {identifier: name for name, (identifier, _, _) in TABLE.items()}

# These may be there several times; their values are lists.
REPEATED = {"user_property", "subscription_identifier"}
SIZES = {"b": 1, "h": 2, "i": 4}


def properties(**values):
    """Encodes properties, without their length, in their order; a list is one property for each item."""
    encoded = b""
    for name, value in values.items():
        identifier, form, _ = TABLE[name]
        for one in value if isinstance(value, list) else [value]:
            encoded += bytes([identifier]) + _value(form, one)
    return encoded


def _value(form, value):
    if form in SIZES:
        return value.to_bytes(SIZES[form], "big")
    if form == "v":
        return wire.length(value)
    return b"".join(wire.string(part) for part in (value if form == "p" else [value]))


def take_properties(reader, kind):
    """The properties of a packet of this kind, by name: what a server may not send is an error."""
    inner, found = reader.part(reader.number()), {}
    while inner.left():
        name = NAMES[inner.number()]
        _, form, kinds = TABLE[name]
        assert kind in kinds, f"{name} in packet {kind:#x}"
        value = {
            "b": inner.byte, "h": inner.two_bytes, "i": inner.four_bytes, "v": inner.number, "s": inner.string,
            "d": inner.data_field, "p": lambda: (inner.string(), inner.string()),
        }[form]()
        if name in REPEATED:
            found.setdefault(name, []).append(value)
        else:
            assert name not in found, f"{name} twice"
            found[name] = value
    return found
