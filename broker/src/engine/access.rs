//! Who may connect: the one place that is asked.

use std::fmt;

use settings::Authentication;

/// Why a client was not let in, in words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No user name, but one is required.
    NoUsername,
    /// A user name, but not the password that goes with it; which of the two is wrong is not told.
    WrongCredentials,
    /// Certificate CN is required, but the client's certificate has none, or none that can be read.
    NoCommonName,
    /// The Common Name is another one.
    WrongCommonName,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::NoUsername => "no user name and password given",
            Denied::WrongCredentials => "wrong user name or password",
            Denied::NoCommonName => {
                "the client certificate has no Common Name (or the client came before one was asked for)"
            }
            Denied::WrongCommonName => {
                "the Common Name of the client certificate is not the one allowed"
            }
        })
    }
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
    /// From the client certificate, checked by TLS.
    pub(crate) common_name: Option<&'a str>,
}

/// The rules in force.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    authentication: Authentication,
}

impl Access {
    pub(crate) fn new(authentication: Authentication) -> Self {
        Access { authentication }
    }

    /// Whether a client may connect [MQTT-3.1.4-2].
    pub(crate) fn admit(&self, credentials: &Credentials<'_>) -> Result<(), Denied> {
        match &self.authentication {
            Authentication::None => Ok(()),
            Authentication::Password { username, password } => {
                let given = credentials.username.ok_or(Denied::NoUsername)?;
                // Both are compared whatever the first says, so that time tells nothing.
                let name_fits =
                    settings::Secret::new(username.clone().into_bytes()).matches(given.as_bytes());
                let password_fits = password.matches(credentials.password.unwrap_or_default());
                if name_fits & password_fits {
                    Ok(())
                } else {
                    Err(Denied::WrongCredentials)
                }
            }
            Authentication::CertificateCn { common_name } => {
                match credentials.common_name.ok_or(Denied::NoCommonName)? {
                    name if name == common_name => Ok(()),
                    _ => Err(Denied::WrongCommonName),
                }
            }
        }
    }

    /// Whether clients let in under the other rules may stay under these: not so once who may connect has changed.
    pub(crate) fn keeps_clients_of(&self, other: &Access) -> bool {
        self.authentication == other.authentication || self.authentication == Authentication::None
    }
}

#[cfg(test)]
mod tests {
    use settings::Secret;

    use super::*;

    fn house() -> Access {
        Access::new(Authentication::Password {
            username: "house".into(),
            password: Secret::new(b"12345".to_vec()),
        })
    }

    fn says<'a>(username: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
        Credentials {
            username,
            password,
            common_name: None,
        }
    }

    #[test]
    fn only_the_right_pair_is_admitted() {
        let access = house();
        assert_eq!(access.admit(&says(Some("house"), Some(b"12345"))), Ok(()));
        for wrong in [
            says(Some("house"), Some(b"1234")),
            says(Some("house"), None),
            says(Some("House"), Some(b"12345")),
            says(Some(""), Some(b"")),
        ] {
            assert_eq!(access.admit(&wrong), Err(Denied::WrongCredentials));
        }
        assert_eq!(access.admit(&says(None, None)), Err(Denied::NoUsername));
    }

    #[test]
    fn without_authentication_anyone_is_admitted() {
        let access = Access::new(Authentication::None);
        assert_eq!(access.admit(&says(Some("x"), Some(b"y"))), Ok(()));
        assert_eq!(access.admit(&says(None, None)), Ok(()));
        assert!(access.keeps_clients_of(&house()));
        assert!(!house().keeps_clients_of(&access));
        assert!(house().keeps_clients_of(&house()));
    }

    #[test]
    fn the_common_name_must_be_the_one() {
        let access = Access::new(Authentication::CertificateCn {
            common_name: "Data".into(),
        });
        let with = |common_name| Credentials {
            common_name,
            ..Credentials::default()
        };
        assert_eq!(access.admit(&with(Some("Data"))), Ok(()));
        assert_eq!(
            access.admit(&with(Some("data"))),
            Err(Denied::WrongCommonName)
        );
        assert_eq!(access.admit(&with(None)), Err(Denied::NoCommonName));
    }
}
