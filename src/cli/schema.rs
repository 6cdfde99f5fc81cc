//! `forewarn check schema`: JSON Schemas of the files that people write, for editors.
//!
//! Knows which types are read; their descriptions are the types' own.

use std::io::{self, Write};
use std::process::ExitCode;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::rules::rule_file_schema;
use crate::rules::unit_test::TestFile;
use crate::server::Config;

/// A kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Rule files, and PrometheusRule resources.
    #[default]
    Rules,
    /// Unit tests of rules.
    Tests,
    /// forewarn.yml.
    Config,
}

/// The schema, in draft 7: the newest that VS Code's YAML extension reads in full.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Rules => rule_file_schema(),
        Kind::Tests => derived::<TestFile>("forewarn rule tests"),
        Kind::Config => derived::<Config>("forewarn configuration"),
    }
}

/// Writes it.
///
/// # Errors
/// `out` cannot be written.
pub fn write(kind: Kind, out: &mut dyn Write) -> io::Result<ExitCode> {
    writeln!(out, "{:#}", schema(kind))?;
    Ok(ExitCode::SUCCESS)
}

fn derived<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.into()
}
