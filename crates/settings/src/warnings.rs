//! What is legal but unwise.

use crate::problem::Problem;
use crate::settings::{Authentication, Settings, Tls};

/// All that is to be said about these settings.
pub(crate) fn of(settings: &Settings) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut warn = |key, message| warnings.push(Problem::of(key, message));
    // Only the router's own programs reach a loopback address.
    let reachable = settings.bind.is_none_or(|address| !address.is_loopback());
    if reachable && settings.tls == Tls::None {
        match settings.authentication {
            Authentication::None => {
                let what = "Without Authentication and TLS, anyone who reaches the port can read and publish everything.";
                warn("AUTHENTICATION", what);
            }
            Authentication::Password { .. } => {
                warn(
                    "TLS",
                    "Without TLS, the password crosses the network in plain text.",
                );
            }
            _ => {}
        }
    }
    if let Tls::Psk { identity, key } = &settings.tls {
        if has_blank_ends(identity) {
            warn(
                "PSK_IDENTITY",
                "PSK Identity begins or ends with a blank; make sure that is meant.",
            );
        }
        if key.as_bytes().len() < 16 {
            let what = "Pre-shared Key is short and can be guessed; 32 hexadecimal digits or more are safe.";
            warn("PSK_KEY", what);
        }
    }
    let name = match &settings.authentication {
        Authentication::None => "",
        Authentication::Password { username, .. } => username,
        Authentication::CertificateCn { common_name } => common_name,
    };
    if has_blank_ends(name) {
        warn(
            "USERNAME",
            "Username begins or ends with a blank; make sure that is meant.",
        );
    }
    if settings.max_memory == Some(u64::MAX) {
        let what = "Maximum Memory is unlimited: messages that wait can take all the memory of the router.";
        warn("MAX_MEMORY", what);
    }
    warnings
}

fn has_blank_ends(text: &str) -> bool {
    text.trim() != text
}

#[cfg(test)]
mod tests {
    use crate::validation::judge;
    use crate::values::Values;

    /// The keys that are warned about.
    fn warned(given: &[(&str, &str)]) -> Vec<&'static str> {
        let mut values = Values::defaults();
        for (key, value) in given {
            values.set(key, value.as_bytes().to_vec());
        }
        let settings = judge(&values).expect("legal");
        super::of(&settings)
            .iter()
            .filter_map(|warning| warning.key)
            .collect()
    }

    #[test]
    fn an_open_broker_is_warned_about() {
        assert_eq!(warned(&[]), ["AUTHENTICATION"]);
        assert_eq!(warned(&[("BIND", "0.0.0.0")]), ["AUTHENTICATION"]);
        assert_eq!(warned(&[("BIND", "127.0.0.1")]), [""; 0]);
        assert_eq!(warned(&[("BIND", "::1")]), [""; 0]);
        let password = [
            ("AUTHENTICATION", "password"),
            ("USERNAME", "house"),
            ("PASSWORD", "12345"),
        ];
        assert_eq!(warned(&password), ["TLS"]);
    }

    #[test]
    fn likely_slips_are_warned_about() {
        let psk = [
            ("TLS", "psk"),
            ("PSK_IDENTITY", " test"),
            ("PSK_KEY", "bad123"),
        ];
        assert_eq!(warned(&psk), ["PSK_IDENTITY", "PSK_KEY"]);
        let blank = [
            ("AUTHENTICATION", "password"),
            ("USERNAME", "house "),
            ("PASSWORD", " "),
        ];
        assert_eq!(warned(&blank), ["TLS", "USERNAME"]);
        assert_eq!(
            warned(&[("BIND", "::1"), ("MAX_MEMORY", "0")]),
            ["MAX_MEMORY"]
        );
    }

    #[test]
    fn what_is_off_is_not_warned_about() {
        let mut values = Values::defaults();
        assert!(judge(&values).expect("legal").warnings().is_empty());
        values.set("ENABLED", b"1".to_vec());
        assert_eq!(judge(&values).expect("legal").warnings().len(), 1);
    }
}
