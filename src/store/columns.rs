//! Between domain types and columns: times as nanoseconds since 1970, words as serde writes them, numbers as i64.
//! What does not fit is an error of the statement, never a silent change of value.
use jiff::Timestamp;
use rusqlite::{
    Error, Row,
    types::{FromSqlError, Type, ValueRef},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};
use std::fmt::Display;

type Result<T> = rusqlite::Result<T>;

pub(super) fn from_time(at: Timestamp) -> Result<i64> {
    integer(at.as_nanosecond())
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    let nanoseconds: i64 = row.get(column)?;
    Timestamp::from_nanosecond(nanoseconds.into()).map_err(|error| unreadable(column, Type::Integer, error))
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => time(row, column).map(Some),
    }
}

/// Into the signed 64 bits that SQLite has.
pub(super) fn integer<N>(number: N) -> Result<i64>
where
    i64: TryFrom<N, Error: std::error::Error + Send + Sync + 'static>,
{
    i64::try_from(number).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

/// Out of them, into a narrower type.
pub(super) fn number<N>(row: &Row<'_>, column: usize) -> Result<N>
where
    N: TryFrom<i64, Error: Display>,
{
    N::try_from(row.get(column)?).map_err(|error| unreadable(column, Type::Integer, error))
}

/// The word that a unit variant serialises to.
pub(super) fn from_word(word: impl Serialize) -> Result<String> {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) => Err(Error::ToSqlConversionFailure("not a word".into())),
        Err(error) => Err(Error::ToSqlConversionFailure(error.into())),
    }
}

pub(super) fn word<W: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<W> {
    let text = row.get_ref(column)?.as_str()?;
    parse_word(text).map_err(|error| unreadable(column, Type::Text, error))
}

pub(super) fn optional_word<W: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<W>> {
    match row.get_ref(column)?.as_str_or_null()? {
        None => Ok(None),
        Some(text) => parse_word(text).map(Some).map_err(|error| unreadable(column, Type::Text, error)),
    }
}

fn parse_word<W: DeserializeOwned>(text: &str) -> std::result::Result<W, value::Error> {
    W::deserialize(text.into_deserializer())
}

fn unreadable(column: usize, kind: Type, error: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, kind, FromSqlError::Other(error.to_string().into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;
    use rusqlite::Connection;

    #[test]
    fn what_does_not_fit_is_refused_and_not_bent() {
        assert!(from_time(Timestamp::MAX).is_err(), "the year 9999 does not fit in 63 bits of nanoseconds");
        assert!(integer(u64::MAX).is_err());
        let memory = Connection::open_in_memory().expect("a database");
        let one = |sql: &str| -> Result<(u16, EventKind)> {
            memory.query_row(sql, [], |row| Ok((number(row, 0)?, word(row, 1)?)))
        };
        assert_eq!(one("SELECT 80, 'agent-exited'").ok(), Some((80, EventKind::AgentExited)));
        assert!(one("SELECT 65536, 'agent-exited'").is_err());
        assert!(one("SELECT 80, 'agent-ascended'").is_err());
    }

    #[test]
    fn a_time_reads_back_to_the_nanosecond() {
        let memory = Connection::open_in_memory().expect("a database");
        let at = Timestamp::new(1_700_000_000, 123_456_789).expect("a time");
        let back = memory.query_row("SELECT ?1", [from_time(at).expect("fits")], |row| time(row, 0));
        assert_eq!(back, Ok(at));
    }
}
