//! A look at PEM text (RFC 7468) without cryptography: is it the right kind of thing, and all of it?

use crate::problem::shown;

/// What belongs in a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One certificate or more.
    Certificate,
    /// One private key that no password protects.
    PrivateKey,
}

const CERTIFICATES: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
const PRIVATE_KEYS: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// On failure the rest of a sentence that begins with the field's label, without full stop.
pub(crate) fn check(value: &[u8], wanted: Wanted) -> Result<(), String> {
    let text = str::from_utf8(value).map_err(|_| "is not in PEM format: it must be plain text")?;
    if text.contains('\0') {
        return Err("must not contain a NUL byte".to_string());
    }
    let labels = labels(text)?;
    let Some(first) = labels.first() else {
        let example = match wanted {
            Wanted::Certificate => "CERTIFICATE",
            Wanted::PrivateKey => "PRIVATE KEY",
        };
        return Err(format!(
            "is not in PEM format: it must hold a line such as \"-----BEGIN {example}-----\"; copy the whole file, \
             its first and last line included"
        ));
    };
    let has = |kinds: &[&str]| labels.iter().any(|label| kinds.contains(label));
    let holds_a_key = labels.iter().any(|label| label.ends_with("PRIVATE KEY"));
    match wanted {
        Wanted::Certificate if holds_a_key => {
            Err("holds a private key; only certificates belong here".to_string())
        }
        Wanted::Certificate if has(CERTIFICATES) => Ok(()),
        Wanted::Certificate if first.ends_with("CERTIFICATE REQUEST") => Err(format!(
            "holds no certificate, but a \"{}\": the CA has to sign it; paste what it makes of it",
            shown(first.as_bytes())
        )),
        Wanted::Certificate => Err(format!(
            "holds no certificate, but a \"{}\"",
            shown(first.as_bytes())
        )),
        Wanted::PrivateKey
            if has(&["ENCRYPTED PRIVATE KEY"]) || text.contains("Proc-Type: 4,ENCRYPTED") =>
        {
            let command = "openssl pkey -in broker.key -out open.key";
            Err(format!(
                "is protected by a password; remove it with \"{command}\" and paste the new file"
            ))
        }
        Wanted::PrivateKey if has(PRIVATE_KEYS) => Ok(()),
        Wanted::PrivateKey if has(CERTIFICATES) => {
            Err("holds a certificate where its private key belongs".to_string())
        }
        Wanted::PrivateKey if holds_a_key => Err(
            "must be a PKCS#8, PKCS#1 or SEC1 key, such as \"openssl genpkey\" writes".to_string(),
        ),
        Wanted::PrivateKey => Err("holds no private key".to_string()),
    }
}

/// The labels of all blocks, each of which must be whole. What stands around them is passed over.
fn labels(text: &str) -> Result<Vec<&str>, String> {
    let mut labels = Vec::new();
    let mut open = None;
    for line in text.lines().map(str::trim) {
        let marker = |start| {
            line.strip_prefix(start)
                .and_then(|rest| rest.strip_suffix("-----"))
        };
        if let Some(label) = marker("-----BEGIN ") {
            if open.is_some() {
                break;
            }
            open = Some(label);
        } else if let Some(label) = marker("-----END ") {
            if open.take() != Some(label) {
                return Err(
                    "is damaged: an END line stands without its BEGIN line; copy the whole file"
                        .to_string(),
                );
            }
            labels.push(label);
        }
    }
    if open.is_some() {
        return Err(
            "is cut off: the END line of a block is missing; copy the whole file".to_string(),
        );
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n")
    }

    fn reason(text: &str, wanted: Wanted) -> String {
        check(text.as_bytes(), wanted).unwrap_err()
    }

    #[test]
    fn what_openssl_writes_is_taken() {
        let chain = format!(
            "subject=CN = x\n{}\r\n{}",
            block("CERTIFICATE"),
            block("CERTIFICATE")
        )
        .replace('\n', "\r\n");
        assert_eq!(check(chain.as_bytes(), Wanted::Certificate), Ok(()));
        for label in PRIVATE_KEYS {
            assert_eq!(check(block(label).as_bytes(), Wanted::PrivateKey), Ok(()));
        }
        let sec1 = block("EC PARAMETERS") + &block("EC PRIVATE KEY");
        assert_eq!(
            check(sec1.trim_end().as_bytes(), Wanted::PrivateKey),
            Ok(())
        );
        let indented = chain.replace("-----BEGIN", "  -----BEGIN");
        assert_eq!(check(indented.as_bytes(), Wanted::Certificate), Ok(()));
    }

    #[test]
    fn every_mistake_has_its_own_sentence() {
        use Wanted::{Certificate, PrivateKey};
        let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
        for (text, wanted, part) in [
            ("MIIB".to_string(), Certificate, "not in PEM format"),
            ("\n".to_string(), PrivateKey, "not in PEM format"),
            (
                block("CERTIFICATE") + "-----BEGIN CERTIFICATE-----\nMII",
                Certificate,
                "cut off",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\n".to_string() + &block("PRIVATE KEY"),
                PrivateKey,
                "cut off",
            ),
            (
                "-----END CERTIFICATE-----".to_string(),
                Certificate,
                "damaged",
            ),
            (
                "-----BEGIN A-----\n-----END B-----".to_string(),
                Certificate,
                "damaged",
            ),
            (block("PRIVATE KEY"), Certificate, "holds a private key"),
            (
                block("CERTIFICATE") + &block("EC PRIVATE KEY"),
                Certificate,
                "holds a private key",
            ),
            (
                block("CERTIFICATE REQUEST"),
                Certificate,
                "but a \"CERTIFICATE REQUEST\": the CA has to sign it",
            ),
            (block("CERTIFICATE"), PrivateKey, "holds a certificate"),
            (
                block("ENCRYPTED PRIVATE KEY"),
                PrivateKey,
                "protected by a password",
            ),
            (encrypted.to_string(), PrivateKey, "protected by a password"),
            (block("OPENSSH PRIVATE KEY"), PrivateKey, "PKCS#8"),
            (block("PUBLIC KEY"), PrivateKey, "no private key"),
            (block("CERTIFICATE") + "\0", Certificate, "NUL"),
        ] {
            let reason = reason(&text, wanted);
            assert!(reason.contains(part), "{text}: {reason}");
        }
        assert!(check(b"\xff", Certificate).is_err());
    }
}
