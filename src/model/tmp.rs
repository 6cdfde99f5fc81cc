//! tmp
#![allow(missing_docs)]
use super::Profile;
#[derive(Clone, Debug)]
pub struct Forecaster;
#[derive(Clone, Debug)]
pub struct ForecasterParams;
impl ForecasterParams {
    pub fn new(_: &Profile, _: i64) -> Self {
        Self
    }
}
impl Forecaster {
    pub fn new() -> Self {
        Self
    }
    pub fn update(&mut self, _: &ForecasterParams, _: i64, _: f64) {}
    pub fn quantile(&self, _: &ForecasterParams, _: f64, _: i64) -> Option<f64> {
        None
    }
    pub fn time_until(&self, _: &ForecasterParams, _: f64, _: f64) -> Option<f64> {
        None
    }
}
