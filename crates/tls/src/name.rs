//! Whether a server's certificate is for the host that was called: libmosquitto's rule.

use std::net::IpAddr;

use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// Names count in this order: DNS names and addresses of the subjectAltName; without a DNS name there, the Common Name,
/// which is compared as text, so that it may be an address too.
pub(crate) fn is_for(certificate: &X509Ref, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let mut has_dns_name = false;
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(pattern) = name.dnsname() {
            has_dns_name = true;
            if matches(pattern, host) {
                return true;
            }
        }
        let is_address = match (name.ipaddress(), address) {
            (Some(bytes), Some(IpAddr::V4(address))) => bytes == address.octets(),
            (Some(bytes), Some(IpAddr::V6(address))) => bytes == address.octets(),
            _ => false,
        };
        if is_address {
            return true;
        }
    }
    if has_dns_name {
        return false;
    }
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next().and_then(|name| name.data().to_string().ok());
    name.is_some_and(|pattern| matches(&pattern, host))
}

/// Without regard to case; `*` stands for the whole first label, and at least two follow it.
fn matches(pattern: &str, host: &str) -> bool {
    // One trailing dot says that the name is complete and changes nothing.
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern.contains('\0') {
        return false;
    }
    let Some(rest) = pattern.strip_prefix("*.") else {
        return !pattern.contains('*') && pattern.eq_ignore_ascii_case(host);
    };
    let labels = rest.split('.');
    let well_formed = rest.contains('.') && labels.clone().all(|label| !label.is_empty());
    let is_address = host.parse::<IpAddr>().is_ok();
    match host.split_once('.') {
        Some((first, parent)) => {
            well_formed
                && !is_address
                && !first.is_empty()
                && !rest.contains('*')
                && rest.eq_ignore_ascii_case(parent)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::pkey::PKey;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509Name};

    use super::*;

    fn certificate(common_name: Option<&str>, dns: &[&str], addresses: &[&str]) -> X509 {
        let key = PKey::generate_ed25519().unwrap();
        let mut name = X509Name::builder().unwrap();
        if let Some(text) = common_name {
            name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
        }
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::days_from_now(1).unwrap())
            .unwrap();
        if !dns.is_empty() || !addresses.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for one in dns {
                names.dns(one);
            }
            for one in addresses {
                names.ip(one);
            }
            let names = names.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        builder
            .sign(&key, openssl::hash::MessageDigest::null())
            .unwrap();
        builder.build()
    }

    #[test]
    fn the_common_name_counts_without_dns_names() {
        let router = certificate(Some("Router.example"), &[], &[]);
        assert!(is_for(&router, "router.example"));
        assert!(is_for(&router, "router.example."));
        assert!(!is_for(&router, "outer.example"));
        assert!(is_for(&certificate(Some("10.0.0.1"), &[], &[]), "10.0.0.1"));
        let both = certificate(Some("router"), &["other"], &[]);
        assert!(!is_for(&both, "router") && is_for(&both, "other"));
        let address = certificate(Some("router"), &[], &["10.0.0.1", "fc00::1"]);
        assert!(is_for(&address, "router") && is_for(&address, "10.0.0.1"));
        assert!(is_for(&address, "fc00:0::1") && !is_for(&address, "10.0.0.2"));
        assert!(!is_for(&certificate(None, &[], &[]), ""));
    }

    #[test]
    fn wildcards() {
        let is = |pattern: &str, host: &str| matches(pattern, host);
        assert!(is("*.a.example", "x.A.example"));
        for (pattern, host) in [
            ("*.example", "x.example"),
            ("*", "x"),
            ("*.a.example", "a.example"),
            ("*.a.example", "x.y.a.example"),
            ("*.a.example", ".a.example"),
            ("x*.a.example", "xy.a.example"),
            ("*.*.example", "x.*.example"),
            ("*.0.0.1", "10.0.0.1"),
            ("*.a..example", "x.a..example"),
            ("a\0.example", "a"),
            ("", "x"),
        ] {
            assert!(!is(pattern, host), "{pattern} {host}");
        }
    }
}
