//! The one definition of every setting: file format, form fields, validation.
#![forbid(unsafe_code)]
