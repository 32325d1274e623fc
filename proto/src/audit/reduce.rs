//! What identifies a person stands in a leaf as a hash, and beside it in words with the salt that hash was made
//! with. Once words and salt are erased, the hash tells nothing, and the leaf proves what it proved before.

use sha2::{Digest as _, Sha256};

use crate::v1::{AuditField, AuditLeaf, AuditValue};

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// What is wrong with the values beside a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// A value is not the one whose hash stands in the leaf.
    #[error("a personal value ({}) is not the one that was entered", .0.as_str_name())]
    Other(AuditField),
    /// A reduced field is neither shown nor said to be erased or withheld, or more than one of these, or a
    /// value has no field in the leaf.
    #[error("the personal values beside the entry are not those that it has")]
    Fields,
}

/// The hash that stands in a leaf in place of a value: SHA-256 over salt, field (four bytes, big-endian), value.
pub fn reduce(field: AuditField, salt: &[u8], value: &str) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update(salt)
        .chain_update((field as i32).to_be_bytes());
    hash.chain_update(value.as_bytes()).finalize().into()
}

/// Checks values against a leaf, and that each of its reduced fields is in exactly one of the three lists, and
/// nothing else is. All rise by field.
pub fn check_values(
    leaf: &AuditLeaf,
    values: &[AuditValue],
    erased: &[AuditField],
    withheld: &[AuditField],
) -> Result<(), ValueFault> {
    if leaf.reduced.len() != values.len() + erased.len() + withheld.len() {
        return Err(ValueFault::Fields);
    }
    let (mut values, mut erased, mut withheld) = (values.iter(), erased.iter(), withheld.iter());
    let (mut value, mut gone, mut hidden) = (values.next(), erased.next(), withheld.next());
    let mut before = AuditField::Unspecified as i32;
    for reduced in &leaf.reduced {
        let field = AuditField::try_from(reduced.field).map_err(|_| ValueFault::Fields)?;
        if reduced.field <= before {
            return Err(ValueFault::Fields);
        }
        before = reduced.field;
        if let Some(shown) = value.filter(|v| v.field == reduced.field) {
            if shown.salt.len() != SALT_BYTES || reduce(field, &shown.salt, &shown.value) != *reduced.hash {
                return Err(ValueFault::Other(field));
            }
            value = values.next();
        } else if gone == Some(&field) {
            gone = erased.next();
        } else if hidden == Some(&field) {
            hidden = withheld.next();
        } else {
            return Err(ValueFault::Fields);
        }
    }
    Ok(())
}
