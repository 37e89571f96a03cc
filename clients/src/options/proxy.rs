//! `--proxy`: `socks5h://[username[:password]@]host[:port]`.

use zeroize::Zeroizing;

use crate::options::mistake::Mistake;
use crate::options::url::{bracketed, decode, read_port, split_port, split_user};
use crate::options::{Proxy, ProxyCredentials};

const SCHEME: &[u8] = b"socks5h://";

/// The port of SOCKS (IANA).
const PORT: u16 = 1080;

impl Proxy {
    pub(super) fn parse(url: &[u8]) -> Result<Proxy, Mistake> {
        let Some(rest) = url.strip_prefix(SCHEME) else {
            return Err(Mistake::new(format!(
                "Error: Unsupported proxy protocol: {}",
                String::from_utf8_lossy(url)
            )));
        };
        let invalid = || Mistake::new("Error: Invalid proxy.");
        let (user, place) = split_user(rest.strip_suffix(b"/").unwrap_or(rest));
        let (host, port) = split_port(place).ok_or_else(invalid)?;
        let host = match bracketed(host) {
            Some(address) => address.to_vec(),
            None => decode(host),
        };
        let host = String::from_utf8(host).map_err(|_| invalid())?;
        // SOCKS states the length of a name in one byte, but this one is looked up here.
        if host.is_empty() {
            return Err(invalid());
        }
        let port = match port {
            Some([]) => return Err(invalid()),
            Some(port) => read_port(port).ok_or_else(|| {
                let port = String::from_utf8_lossy(port);
                Mistake::new(format!("Error: Invalid proxy port {port}"))
            })?,
            None => PORT,
        };
        let credentials = user.map(|(username, password)| ProxyCredentials {
            username: decode(username),
            password: Zeroizing::new(password.map(decode).unwrap_or_default()),
        });
        // RFC 1929 2: one byte states each length.
        let fits = credentials.as_ref().is_none_or(|credentials| {
            (1..=255).contains(&credentials.username.len()) && credentials.password.len() <= 255
        });
        if !fits {
            return Err(invalid());
        }
        Ok(Proxy {
            host,
            port,
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> Result<Proxy, String> {
        Proxy::parse(url.as_bytes()).map_err(|mistake| mistake.standard_error(crate::Tool::Sub))
    }

    #[test]
    fn hosts_and_ports() {
        for (url, host, port) in [
            ("socks5h://h", "h", 1080),
            ("socks5h://h/", "h", 1080),
            ("socks5h://h:1", "h", 1),
            ("socks5h://[::1]:1", "::1", 1),
            ("socks5h://[fc00::1]", "fc00::1", 1080),
            ("socks5h://fc00::1", "fc00::1", 1080),
            ("socks5h://10.0.0.1:65535", "10.0.0.1", 65535),
        ] {
            let proxy = parse(url).expect("legal");
            assert_eq!((proxy.host.as_str(), proxy.port), (host, port), "{url}");
            assert_eq!(proxy.credentials, None);
        }
    }

    #[test]
    fn credentials() {
        for (user, name, password) in [
            ("u", "u", ""),
            ("u:", "u", ""),
            ("u:p", "u", "p"),
            ("u:p:q", "u", "p:q"),
            ("u%40x:%25%3A%40", "u@x", "%:@"),
            ("u:a@b", "u", "a@b"),
        ] {
            let proxy = parse(&format!("socks5h://{user}@h:2")).expect("legal");
            let credentials = proxy.credentials.expect("stated");
            assert_eq!(credentials.username, name.as_bytes(), "{user}");
            assert_eq!(*credentials.password, password.as_bytes(), "{user}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = "u".repeat(256);
        for (url, said) in [
            (
                "foo",
                "Error: Unsupported proxy protocol: foo\n\nUse 'mosquitto_sub --help' to see usage.\n",
            ),
            (
                "socks5://x",
                "Error: Unsupported proxy protocol: socks5://x\n",
            ),
            ("socks5h://", "Error: Invalid proxy.\n"),
            ("socks5h://:1", "Error: Invalid proxy.\n"),
            ("socks5h://h:", "Error: Invalid proxy.\n"),
            ("socks5h://h:0", "Error: Invalid proxy port 0\n"),
            ("socks5h://h:x", "Error: Invalid proxy port x\n"),
            ("socks5h://h:70000", "Error: Invalid proxy port 70000\n"),
            ("socks5h://@h", "Error: Invalid proxy.\n"),
            ("socks5h://[::1", "Error: Invalid proxy.\n"),
            (&format!("socks5h://{long}@h"), "Error: Invalid proxy.\n"),
            (&format!("socks5h://u:{long}@h"), "Error: Invalid proxy.\n"),
        ] {
            let mistake = parse(url).expect_err(url);
            assert!(mistake.starts_with(said), "{url}: {mistake}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(url in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Proxy::parse(&url);
            let _ = Proxy::parse(&[SCHEME, &url].concat());
        }
    }
}
