//! Names that people give: tenants, services, profile types.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A name or key that does not follow the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A part that must not be empty is.
    #[error("{what} is empty")]
    Empty {
        /// What kind of part it is.
        what: &'static str,
    },
    /// A part is longer than its limit.
    #[error("{what} has {bytes} bytes, more than the {limit} allowed; shorten it")]
    TooLong {
        /// What kind of part it is.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A part has a form that is never printed.
    #[error("`{found}` is not a {what}: {expected}")]
    Malformed {
        /// What kind of part it is.
        what: &'static str,
        /// The offending text.
        found: String,
        /// The form it should have.
        expected: &'static str,
    },
}

impl LayoutError {
    pub(crate) fn malformed(what: &'static str, found: &str, expected: &'static str) -> Self {
        Self::Malformed { what, found: found.to_owned(), expected }
    }
}

/// Letters of a key part that stand for themselves. `.` is not among them
/// because it separates the parts of a file name.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Percent-encodes one part of a key.
#[must_use]
pub fn encode_part(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

/// Reads one part of a key; the inverse of [`encode_part`].
///
/// # Errors
/// When the part is not UTF-8 or not spelled as [`encode_part`] spells it.
pub fn decode_part(part: &str) -> Result<String, LayoutError> {
    let name = percent_decode_str(part).decode_utf8().map_err(|_| {
        LayoutError::malformed("key part", part, "percent-encoded UTF-8 was expected")
    })?;
    if encode_part(&name) != part {
        let expected = "every byte outside A-Z a-z 0-9 - _ must be percent-encoded, in capitals";
        return Err(LayoutError::malformed("key part", part, expected));
    }
    Ok(name.into_owned())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:ident = $bytes:literal) => {
        #[doc = concat!("Longest ", $what, ", in bytes before encoding. Chosen so that every key stays below S3's 1024 bytes.")]
        pub const $limit: usize = $bytes;

        $(#[$doc])*
        ///
        /// Any UTF-8 is a name; keys hold it percent-encoded.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// Takes the name as people write it.
            ///
            /// # Errors
            /// When it is empty or longer than the limit.
            pub fn new(name: impl Into<String>) -> Result<Self, LayoutError> {
                let name = name.into();
                if name.is_empty() {
                    return Err(LayoutError::Empty { what: $what });
                }
                if name.len() > $limit {
                    return Err(LayoutError::TooLong { what: $what, bytes: name.len(), limit: $limit });
                }
                Ok(Self(name))
            }

            /// The name as people write it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as one part of a key.
            #[must_use]
            pub fn encoded(&self) -> String {
                encode_part(&self.0)
            }

            /// Reads the name from one part of a key.
            ///
            /// # Errors
            /// When the part is not what [`Self::encoded`] prints.
            pub fn from_encoded(part: &str) -> Result<Self, LayoutError> {
                Self::new(decode_part(part)?)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = LayoutError;
            fn from_str(name: &str) -> Result<Self, LayoutError> {
                Self::new(name)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// Whose profiles these are. Tenants never meet: every key and row starts
    /// with one.
    TenantId, "tenant", MAX_TENANT_BYTES = 64
);
name!(
    /// What belongs together to its owners: usually one Lambda function.
    ServiceName, "service", MAX_SERVICE_BYTES = 128
);
name!(
    /// A kind of profile: `cpu`, `heap`, `wall`, `billed`, … or any other name.
    ProfileType, "profile type", MAX_TYPE_BYTES = 64
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_text_is_a_name_and_stays_one_part() {
        for name in ["λ", "a/b", "..", "a.b", "*?", "%2F", " +", "\u{202e}x", "\n"] {
            let service = ServiceName::new(name).unwrap();
            let part = service.encoded();
            assert!(!part.contains(['/', '.', '*', '?', ' ', '+']), "{part}");
            assert_eq!(ServiceName::from_encoded(&part).unwrap(), service);
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        for part in ["%61", "a.b", "%ce%bb", "%", "%zz", "%FF"] {
            assert!(ServiceName::from_encoded(part).is_err(), "{part}");
        }
    }

    #[test]
    fn length_has_two_sides() {
        assert!(ServiceName::new("x".repeat(MAX_SERVICE_BYTES)).is_ok());
        assert!(ServiceName::new("x".repeat(MAX_SERVICE_BYTES + 1)).is_err());
        assert!(TenantId::new("").is_err());
    }
}
