//! Answers about a settings file: for people, for the web pages and for `etc/init`.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use settings::{Problem, Settings, Values};

use crate::arguments::Source;
use crate::certificates;

/// Names every error and warning in the settings.
pub(crate) fn check(source: &Source, json: bool, out: &mut impl Write) -> ExitCode {
    let (report, verdict) = match read(source) {
        Ok(file) => judge(&file),
        Err(error) => (Report::unreadable(&error), Verdict::Unreadable),
    };
    match report.print(json, out) {
        Ok(()) => ExitCode::from(verdict as u8),
        Err(_) => ExitCode::from(Verdict::Unreadable as u8),
    }
}

/// Says by its exit code whether the settings enable the broker.
pub(crate) fn enabled(file: &Path) -> ExitCode {
    let answer = match settings::file::read(file) {
        Ok(Some(file)) => switch(&file),
        Ok(None) => Switch::Off,
        Err(error) => Switch::Broken(Report::unreadable(&error)),
    };
    match answer {
        Switch::On => ExitCode::SUCCESS,
        Switch::Off => ExitCode::from(1),
        Switch::Broken(report) => {
            // The exit code says it too.
            let _ = report.print(false, &mut io::stderr());
            ExitCode::from(2)
        }
    }
}

/// The exit codes of `--check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid = 0,
    Invalid = 1,
    Unreadable = 2,
}

enum Switch {
    On,
    Off,
    Broken(Report),
}

/// All that is to be said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// A report as `--json` shows it.
#[derive(Serialize)]
struct Findings<'a> {
    errors: Vec<Finding<'a>>,
    warnings: Vec<Finding<'a>>,
}

/// Key and label are those of the setting, if it is about one.
#[derive(Serialize)]
struct Finding<'a> {
    key: Option<&'a str>,
    label: Option<&'a str>,
    message: &'a str,
}

fn read(source: &Source) -> io::Result<Vec<u8>> {
    match source {
        Source::File(path) => {
            settings::file::read(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        Source::StandardInput => {
            // One byte more than may be, so that too many are found.
            let most = settings::MAX_FILE_BYTES as u64 + 1;
            let mut file = Vec::new();
            io::stdin().lock().take(most).read_to_end(&mut file)?;
            Ok(file)
        }
    }
}

fn judge(file: &[u8]) -> (Report, Verdict) {
    let values = match Values::parse(file) {
        Ok(values) => values,
        Err(errors) => return (Report::broken(errors), Verdict::Invalid),
    };
    let of_file = values.warnings();
    match Settings::from_values(&values) {
        Ok(settings) => {
            let (errors, of_certificates) = certificates::check(&settings);
            let verdict = match errors.is_empty() {
                true => Verdict::Valid,
                false => Verdict::Invalid,
            };
            let warnings = settings.warnings().into_iter().chain(of_certificates);
            let warnings = warnings.chain(of_file).collect();
            (Report { errors, warnings }, verdict)
        }
        Err(mut errors) => {
            // What can be judged of certificates and keys is said at the same time; a field that is refused already needs
            // no second sentence.
            let mut others = certificates::errors(&values);
            others.retain(|other| errors.iter().all(|error| error.key != other.key));
            errors.append(&mut others);
            Problem::sort(&mut errors);
            let warnings = of_file;
            (Report { errors, warnings }, Verdict::Invalid)
        }
    }
}

fn switch(file: &[u8]) -> Switch {
    let values = match Values::parse(file) {
        Ok(values) => values,
        Err(errors) => return Switch::Broken(Report::broken(errors)),
    };
    match Settings::from_values(&values) {
        Ok(settings) if settings.enabled => Switch::On,
        Ok(_) => Switch::Off,
        // What is switched off need not be right in everything else.
        Err(_) if values.get("ENABLED") == b"0" => Switch::Off,
        Err(errors) => Switch::Broken(Report::broken(errors)),
    }
}

impl Report {
    fn broken(errors: Vec<Problem>) -> Report {
        Report {
            errors,
            warnings: Vec::new(),
        }
    }

    fn unreadable(error: &io::Error) -> Report {
        Report::broken(vec![Problem::of_file(format!(
            "The settings cannot be read: {error}."
        ))])
    }

    fn print(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, &self.findings())?;
            return writeln!(out);
        }
        for (kind, problems) in [("error", &self.errors), ("warning", &self.warnings)] {
            for problem in problems {
                writeln!(out, "{kind}: {problem}")?;
            }
        }
        Ok(())
    }

    fn findings(&self) -> Findings<'_> {
        Findings {
            errors: self.errors.iter().map(Finding::of).collect(),
            warnings: self.warnings.iter().map(Finding::of).collect(),
        }
    }
}

impl Finding<'_> {
    fn of(problem: &Problem) -> Finding<'_> {
        Finding {
            key: problem.key,
            label: problem.label(),
            message: &problem.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: &[&str]) -> Vec<u8> {
        let line = |line: &&str| format!("{}{line}\n", settings::PREFIX);
        lines.iter().map(line).collect::<String>().into_bytes()
    }

    fn printed(file: &[u8], json: bool) -> String {
        let mut out = Vec::new();
        judge(file).0.print(json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_to_say() {
        assert_eq!(judge(b""), (Report::default(), Verdict::Valid));
        assert_eq!(printed(b"", false), "");
        assert_eq!(printed(b"", true), "{\"errors\":[],\"warnings\":[]}\n");
    }

    #[test]
    fn every_error_with_its_field() {
        let file = file(&["PORT='0'", "MAX_QOS='3'", "ODD='x'"]);
        assert_eq!(judge(&file).1, Verdict::Invalid);
        let text = printed(&file, false);
        let starts: Vec<_> = text
            .lines()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(starts, ["error:", "error:", "warning:"], "{text}");
        assert!(text.starts_with("error: Port must be "), "{text}");
        let json: serde_json::Value = serde_json::from_str(&printed(&file, true)).unwrap();
        assert_eq!(json["errors"][0]["key"], "PORT");
        assert_eq!(json["errors"][0]["label"], "Port");
        assert!(
            json["errors"][0]["message"]
                .as_str()
                .unwrap()
                .starts_with("Port must be ")
        );
        assert_eq!(json["errors"][1]["key"], "MAX_QOS");
        assert!(json["warnings"][0]["key"].is_null() && json["warnings"][0]["label"].is_null());
    }

    #[test]
    fn a_file_that_does_not_parse() {
        let (report, verdict) = judge(b"what is this\n");
        assert_eq!(verdict, Verdict::Invalid);
        assert_eq!((report.errors.len(), report.errors[0].key), (1, None));
    }

    #[test]
    fn switches() {
        let is = |lines: &[&str]| match switch(&file(lines)) {
            Switch::On => "on",
            Switch::Off => "off",
            Switch::Broken(_) => "broken",
        };
        assert_eq!(is(&[]), "off");
        assert_eq!(is(&["ENABLED='0'"]), "off");
        assert_eq!(is(&["ENABLED='1'"]), "on");
        assert_eq!(is(&["ENABLED='0'", "PORT='0'"]), "off");
        assert_eq!(is(&["ENABLED='1'", "PORT='0'"]), "broken");
        assert_eq!(is(&["ENABLED='yes'"]), "broken");
        assert!(matches!(switch(b"ENABLED"), Switch::Broken(_)));
    }
}
