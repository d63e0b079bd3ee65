//! Documents as DynamoDB items: keys and what conditions need as attributes of
//! their own, all else as one JSON text in `doc`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::StoreError;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The attribute that holds the document.
pub(crate) const DOC: &str = "doc";
/// The attribute that DynamoDB's TTL watches, in Unix seconds.
pub const EXPIRES: &str = "expires";

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn doc<T: Serialize>(document: &T) -> Result<AttributeValue, StoreError> {
    let json = serde_json::to_string(document);
    json.map(text).map_err(|error| StoreError::corrupt("write a row", error))
}

pub(crate) fn read_doc<T: DeserializeOwned>(item: &Item) -> Result<T, StoreError> {
    let json = text_of(item, DOC).unwrap_or_default();
    serde_json::from_str(json).map_err(|error| {
        StoreError::corrupt("read a row", format!("{error}; the row is `{json:.120}`"))
    })
}

pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}
