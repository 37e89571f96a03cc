//! Who signed the broker's certificate, and who signed that one.

use openssl::x509::X509;

use crate::certificate::{has_signed, is_self_signed, same};
use crate::problem::{Fault, Field, Problem};

/// The broker's certificate, then who signed it, and so on, without the root.
pub(crate) struct Chain {
    pub(crate) certificates: Vec<X509>,
    /// What strikes the eye.
    pub(crate) remarks: Vec<Problem>,
}

/// Certificates in a chain.
const MOST_CERTIFICATES: usize = 10;

/// Finds the way from `leaf`, one of `own`, to one of the CAs. Certificates of either field may stand in between, and any of
/// the CAs' field is an end, a root or not. Where the leaf's own root stands in its own field, that is an end too: thus says who
/// does not want that CA to sign clients' certificates. Without CAs it only matters what to send.
pub(crate) fn find(leaf: &X509, own: &[X509], authorities: &[X509]) -> Result<Chain, Problem> {
    let is_authority = authorities.iter().any(|one| same(one, leaf));
    let ends_at = |ends: &[&X509], one: &X509| {
        ends.iter()
            .any(|end| same(end, one) || has_signed(end, one))
    };
    let pool: Vec<&X509> = own.iter().chain(authorities).collect();
    // A leaf signs nothing but itself.
    let others = |one: &&X509| !same(one, leaf) || is_self_signed(one);
    let ends: Vec<&X509> = authorities.iter().filter(others).collect();
    let roots = own.iter().filter(|one| is_self_signed(one));
    let roots: Vec<&X509> = roots.filter(|one| !same(one, leaf)).collect();

    let mut remarks = Vec::new();
    let mut path = Path::new(leaf, &pool);
    let is_found = if authorities.is_empty() {
        path.extend(&|_| true, false)
    } else if path.extend(&|one| ends_at(&ends, one), false) {
        true
    } else {
        path = Path::new(leaf, &pool);
        remarks.push(match is_authority {
            true => Field::CaCertificates.problem(Fault::OwnCertificateAsAuthority),
            false => Field::Certificate.problem(Fault::OtherAuthority),
        });
        path.extend(&|one| ends_at(&roots, one), false)
    };
    if !is_found {
        return Err(match is_authority {
            true => Field::CaCertificates.problem(Fault::OwnCertificateAsAuthority),
            false => Field::Certificate.problem(Fault::NotChained),
        });
    }
    if remarks.is_empty() && is_authority && !is_self_signed(leaf) {
        remarks.push(Field::CaCertificates.problem(Fault::OwnCertificateAsAuthority));
    }
    let certificates = path.certificates;
    let is_used =
        |one: &X509| is_self_signed(one) || certificates.iter().any(|part| same(part, one));
    if !own.iter().all(is_used) {
        remarks.insert(0, Field::Certificate.problem(Fault::NotInChain));
    }
    Ok(Chain {
        certificates: certificates.into_iter().cloned().collect(),
        remarks,
    })
}

/// A way from the leaf.
struct Path<'a> {
    pool: &'a [&'a X509],
    certificates: Vec<&'a X509>,
    /// What was tried, successfully or not: a CA may have several certificates, signed by others, and one of them be the way.
    tried: Vec<&'a X509>,
}

impl<'a> Path<'a> {
    fn new(leaf: &'a X509, pool: &'a [&'a X509]) -> Path<'a> {
        Path {
            pool,
            certificates: vec![leaf],
            tried: vec![leaf],
        }
    }

    /// Goes as far as it can, past one for which `is_end` is true, if that was not `passed` before. False if there is no such
    /// way.
    fn extend(&mut self, is_end: &dyn Fn(&X509) -> bool, passed: bool) -> bool {
        let last = self.certificates[self.certificates.len() - 1];
        let passed = passed || is_end(last);
        for &one in self.pool {
            if self.certificates.len() == MOST_CERTIFICATES {
                break;
            }
            if self.tried.iter().any(|known| same(known, one))
                || !has_signed(one, last)
                || is_self_signed(one)
            {
                continue;
            }
            self.tried.push(one);
            self.certificates.push(one);
            if self.extend(is_end, passed) {
                return true;
            }
            self.certificates.pop();
        }
        passed
    }
}
