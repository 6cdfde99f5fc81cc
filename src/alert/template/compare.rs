//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`. As in Go, numbers of different types do not compare: `gt $value 5` is an error,
//! `gt $value 5.0` is not.

use std::cmp::Ordering;

use super::value::Value;

/// Whether the first equals any of the others.
pub(super) fn equal(values: &[Value<'_>]) -> Result<bool, String> {
    let Some((first, others)) = values.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in others {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How two values are ordered; none where one is NaN.
pub(super) fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (
            Value::Int(a) | Value::Duration(a) | Value::Named(a, ..),
            Value::Int(b) | Value::Duration(b) | Value::Named(b, ..),
        ) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        _ if is_basic(a) && is_basic(b) && a.type_name() != b.type_name() => Err(incompatible(a, b)),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn same(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::Sample(a), Value::Sample(b)) => Ok(std::rc::Rc::ptr_eq(a, b)),
        _ if !is_basic(a) || !is_basic(b) => Err(format!("non-comparable type {}", a.type_name())),
        _ => order(a, b).map(|ordering| ordering == Some(Ordering::Equal)),
    }
}

fn is_basic(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Duration(_) | Value::Named(..)
    )
}

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}
