//! Source to component
