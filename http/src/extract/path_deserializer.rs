//! Deserializes the parameters of a path.

use std::borrow::Cow;
use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::message::path_error::PathError;

type Pair<'a> = (&'a str, Cow<'a, str>);

/// The parameters of a path, with their names.
#[derive(Clone, Copy)]
pub(super) struct Params<'a> {
    pub(super) params: &'a [Pair<'a>],
}

impl<'a> Params<'a> {
    /// Returns the value of the only parameter.
    fn single(self) -> Result<Value<'a>, PathError> {
        match self.params {
            [(name, value)] => Ok(Value { name, value }),
            params => Err(wrong_count(1, params.len())),
        }
    }
}

fn wrong_count(expected: usize, actual: usize) -> PathError {
    PathError::of_route(format!(
        "the handler takes {expected} parameters, and the route has {actual}"
    ))
}

macro_rules! single {
    ($($deserialize:ident)*) => {
        $(
            fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
                let value = self.single()?;
                value.$deserialize(visitor).map_err(|error| error.at(value.name))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Params<'_> {
    type Error = PathError;

    single! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_seq(Rest { params: self.params, value: None })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        match self.params.len() {
            actual if actual == length => self.deserialize_seq(visitor),
            actual => Err(wrong_count(length, actual)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_map(Rest { params: self.params, value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        let value = self.single()?;
        let variant = value.deserialize_enum(name, variants, visitor);
        variant.map_err(|error| error.at(value.name))
    }
}

/// The parameters that are left.
struct Rest<'a> {
    params: &'a [Pair<'a>],
    /// The parameter whose name was the last key.
    value: Option<Value<'a>>,
}

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<Value<'a>> {
        let ((name, value), rest) = self.params.split_first()?;
        self.params = rest;
        Some(Value { name, value })
    }
}

impl<'de> SeqAccess<'de> for Rest<'_> {
    type Error = PathError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, PathError> {
        let Some(value) = self.next() else { return Ok(None) };
        seed.deserialize(value).map(Some).map_err(|error| error.at(value.name))
    }
}

impl<'de> MapAccess<'de> for Rest<'_> {
    type Error = PathError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, PathError> {
        self.value = self.next();
        let Some(value) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, PathError> = value.name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, PathError> {
        let value = self.value.take().ok_or_else(|| PathError::of_route("a value needs a key"))?;
        seed.deserialize(value).map_err(|error| error.at(value.name))
    }
}

/// One parameter.
#[derive(Clone, Copy)]
struct Value<'a> {
    name: &'a str,
    value: &'a str,
}

fn parse_error(error: impl Display) -> PathError {
    PathError::of_route(error)
}

macro_rules! parsed {
    ($($deserialize:ident $visit:ident)*) => {
        $(
            fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
                visitor.$visit(self.value.parse().map_err(parse_error)?)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = PathError;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_str(self.value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        let variant: StrDeserializer<'_, PathError> = self.value.into_deserializer();
        visitor.visit_enum(variant)
    }

    serde::forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
