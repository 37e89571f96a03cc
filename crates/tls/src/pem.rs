//! PEM text (RFC 7468) as people paste it: certificates and keys, or what is wrong with it.

use openssl::pkey::{Id, PKey, Private};
use openssl::x509::X509;
use zeroize::Zeroizing;

use crate::problem::{Fault, Field};
use crate::session::clear_errors;

/// One block, still in base64.
struct Block<'a> {
    label: &'a str,
    lines: Vec<&'a str>,
}

const CERTIFICATES: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
const PRIVATE_KEYS: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
const ENCRYPTED_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// All certificates in the text, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<X509>, Fault> {
    let blocks = blocks(text)?;
    if blocks
        .iter()
        .any(|block| block.label.ends_with("PRIVATE KEY"))
    {
        return Err(Fault::KeyAmongCertificates);
    }
    let mut certificates = Vec::new();
    for block in blocks
        .iter()
        .filter(|block| CERTIFICATES.contains(&block.label))
    {
        let number = certificates.len() + 1;
        let der = der(block).ok_or(Fault::DamagedCertificate(number))?;
        let certificate = X509::from_der(&der).map_err(|_| Fault::DamagedCertificate(number))?;
        certificates.push(certificate);
    }
    match blocks.first() {
        Some(first) if certificates.is_empty() => Err(Fault::NoCertificate(first.label.into())),
        _ => Ok(certificates),
    }
}

/// The first private key in the text.
pub(crate) fn private_key(text: &[u8]) -> Result<PKey<Private>, Fault> {
    let blocks = blocks(text)?;
    let is_encrypted = |block: &Block<'_>| {
        block.label == ENCRYPTED_KEY
            || (block.label.ends_with("PRIVATE KEY")
                && block
                    .lines
                    .iter()
                    .any(|line| line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED")))
    };
    if blocks.iter().any(is_encrypted) {
        return Err(Fault::EncryptedKey);
    }
    let Some(block) = blocks
        .iter()
        .find(|block| PRIVATE_KEYS.contains(&block.label))
    else {
        let has = |end: &str| blocks.iter().any(|block| block.label.ends_with(end));
        return Err(if has("PRIVATE KEY") {
            Fault::OtherKeyFormat
        } else if has("CERTIFICATE") {
            Fault::CertificateInsteadOfKey
        } else {
            Fault::NoKey
        });
    };
    let mut text = Zeroizing::new(format!("-----BEGIN {}-----\n", block.label));
    for line in &block.lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("-----END {}-----\n", block.label));
    // Never a question on a terminal.
    let key = PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0));
    clear_errors();
    let key = key.map_err(|_| Fault::DamagedKey)?;
    match key.id() {
        Id::RSA | Id::EC | Id::ED25519 => Ok(key),
        _ => Err(Fault::OtherKeyKind),
    }
}

/// Every block, each of which must be whole. What stands around them is passed over.
fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, Fault> {
    let text = str::from_utf8(text).map_err(|_| Fault::NotPem)?;
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.lines().map(str::trim) {
        let marker = |start| line.strip_prefix(start)?.strip_suffix("-----");
        if let Some(label) = marker("-----BEGIN ") {
            if open.is_some() {
                return Err(Fault::CutOff);
            }
            let lines = Vec::new();
            open = Some(Block { label, lines });
        } else if let Some(label) = marker("-----END ") {
            let block = open
                .take()
                .filter(|block| block.label == label)
                .ok_or(Fault::EndWithoutBegin)?;
            blocks.push(block);
        } else if let Some(block) = &mut open {
            block.lines.push(line);
        }
    }
    if open.is_some() {
        return Err(Fault::CutOff);
    }
    if blocks.is_empty() {
        return Err(Fault::NotPem);
    }
    Ok(blocks)
}

fn der(block: &Block<'_>) -> Option<Vec<u8>> {
    let der = openssl::base64::decode_block(&block.lines.concat()).ok();
    clear_errors();
    der
}

impl Field {
    /// The certificates in this field.
    pub(crate) fn certificates(self, text: &[u8], problems: &mut Vec<crate::Problem>) -> Vec<X509> {
        certificates(text).unwrap_or_else(|fault| {
            problems.push(self.problem(fault));
            Vec::new()
        })
    }
}
