//! Plain, certificate or PSK behind one stream type, for broker and clients alike.
#![forbid(unsafe_code)]
