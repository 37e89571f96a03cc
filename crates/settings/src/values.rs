//! What a settings file says, before anything is judged.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::line::{self, Line};
use crate::problem::Problem;
use crate::table::{FIELDS, field};
use crate::{MAX_FILE_BYTES, PREFIX};

// A file of garbage need not be described line by line.
const MOST_PROBLEMS: usize = 20;

/// Raw values, byte for byte: one for every row of the table, and those of unknown keys with our prefix.
#[derive(Clone, PartialEq, Eq)]
pub struct Values(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Values {
    /// What a first install starts from.
    pub fn defaults() -> Values {
        Values(
            FIELDS
                .iter()
                .map(|field| (field.key.to_string(), Zeroizing::new(field.default.into())))
                .collect(),
        )
    }

    /// Reads a settings file. Missing keys have their default, the last of several counts, keys without our prefix are
    /// dropped. One line that can't be read, and nothing of the file is taken.
    pub fn parse(file: &[u8]) -> Result<Values, Vec<Problem>> {
        if file.len() > MAX_FILE_BYTES {
            return Err(vec![Problem::of_file(format!(
                "The file is too large: at most {MAX_FILE_BYTES} bytes are read."
            ))]);
        }
        let mut values = Values::defaults();
        let mut problems = Vec::new();
        let mut further = 0;
        let file = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
        for (index, text) in file.split(|&byte| byte == b'\n').enumerate() {
            let line = match text.contains(&0) {
                true => Line::Unreadable(None, "there is a NUL byte: the file is damaged"),
                false => line::parse(text),
            };
            match line {
                Line::Nothing => {}
                Line::Assignment(name, value) => {
                    if let Some(key) = name.strip_prefix(PREFIX).filter(|key| !key.is_empty()) {
                        values.set(key, value);
                    }
                }
                Line::Unreadable(..) if problems.len() == MOST_PROBLEMS => further += 1,
                Line::Unreadable(name, reason) => {
                    // A name without our prefix may be anything, and a long one hardly is a name.
                    let name = name.filter(|name| name.starts_with(PREFIX) && name.len() <= 64);
                    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
                    let message = format!("Line {}{name}: {reason}.", index + 1);
                    problems.push(Problem::of_file(message));
                }
            }
        }
        if further > 0 {
            problems.push(Problem::of_file(format!(
                "{further} further lines can't be read."
            )));
        }
        if problems.is_empty() {
            Ok(values)
        } else {
            Err(problems)
        }
    }

    /// The value of a key (without prefix); empty for an unknown one.
    pub fn get(&self, key: &str) -> &[u8] {
        self.0.get(key).map_or(&[], |value| value)
    }

    /// Replaces a value. A file can't hold NUL bytes: such a value is refused by [`crate::Settings::from_values`] and
    /// [`crate::file::write`].
    ///
    /// # Panics
    ///
    /// If `key` is not of the form `[A-Z0-9_]+`: keys come from the table or from a file that was read.
    pub fn set(&mut self, key: &str, value: Vec<u8>) {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(
            !key.is_empty() && key.bytes().all(allowed),
            "a key has only A-Z, 0-9 and _"
        );
        self.0.insert(key.to_string(), Zeroizing::new(value));
    }

    /// All keys (without prefix) and values, in the order of the table, unknown ones last.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let unknown = self.unknown().map(|key| (key, self.get(key)));
        FIELDS
            .iter()
            .map(|field| (field.key, self.get(field.key)))
            .chain(unknown)
    }

    /// The keys with our prefix (without it) that the table doesn't have.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|key| field(key).is_none())
    }

    /// The settings file: one quoted line per key.
    pub fn to_file(&self) -> Vec<u8> {
        // A buffer that grows would leave copies of secrets behind in freed memory.
        let length = self
            .iter()
            .map(|(key, value)| PREFIX.len() + key.len() + 4 + 4 * value.len())
            .sum();
        let mut file = Vec::with_capacity(length);
        for (key, value) in self.iter() {
            line::write(key, value, &mut file);
        }
        file
    }

    /// What [`crate::Settings::warnings`] can't see: keys that mean nothing, perhaps for a slip of the pen.
    pub fn warnings(&self) -> Vec<Problem> {
        let warning = |key: &str| {
            Problem::of_file(format!(
                "{PREFIX}{key} is kept, but no setting has that name."
            ))
        };
        self.unknown()
            .take(MOST_PROBLEMS)
            .map(|key| warning(crate::problem::shown(key.as_bytes()).as_str()))
            .collect()
    }
}

/// Secrets, and unknown values that may be some, are not printed.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = self.iter().map(|(key, value)| match field(key) {
            Some(field) if !field.secret => (key, String::from_utf8_lossy(value).into_owned()),
            _ => (key, format!("({} bytes)", value.len())),
        });
        f.debug_map().entries(printed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &[u8]) -> Vec<String> {
        Values::parse(file)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn the_empty_file_is_the_defaults() {
        assert_eq!(Values::parse(b""), Ok(Values::defaults()));
        assert_eq!(
            Values::parse(&Values::defaults().to_file()),
            Ok(Values::defaults())
        );
        assert_eq!(Values::defaults().get("PORT"), b"1883");
        assert_eq!(Values::defaults().get("NO_SUCH_KEY"), b"");
    }

    #[test]
    fn a_vendors_file_is_read() {
        let file = b"\xef\xbb\xbf# comment\r\n\r\nMOD_MQTT_BROKER_ENABLED=1\r\nmod_mqtt_broker_username=\"Data collector\"\r\n\
            MOD_OTHER_ENABLED=0\nMOD_MQTT_BROKER_=x\nMOD_MQTT_BROKER_PORT=1\nMod_Mqtt_Broker_Port=2\nMOD_MQTT_BROKER_new_1=it's";
        let values = Values::parse(file).expect("readable");
        assert_eq!(values.get("ENABLED"), b"1");
        assert_eq!(values.get("USERNAME"), b"Data collector");
        assert_eq!(values.get("PORT"), b"2");
        assert_eq!(values.get("NEW_1"), b"it's");
        assert_eq!(values.unknown().collect::<Vec<_>>(), ["NEW_1"]);
        let written = String::from_utf8(values.to_file()).expect("text");
        assert!(written.starts_with("MOD_MQTT_BROKER_ENABLED='1'\nMOD_MQTT_BROKER_PORT='2'\n"));
        assert!(written.ends_with("MOD_MQTT_BROKER_NEW_1='it'\\''s'\n"));
        assert!(!written.contains("OTHER") && !written.contains("BROKER_="));
        assert_eq!(
            values.warnings()[0].message,
            "MOD_MQTT_BROKER_NEW_1 is kept, but no setting has that name."
        );
    }

    #[test]
    fn every_unreadable_line_is_named_and_none_repeated() {
        let file = b"MOD_MQTT_BROKER_PORT=1\nrubbish hunter2\n\nMOD_MQTT_BROKER_PASSWORD='hunter2\nhunter2=\"a\nX\0=1";
        assert_eq!(
            messages(file),
            [
                "Line 2: this is neither KEY='value' nor a comment.",
                "Line 4 (MOD_MQTT_BROKER_PASSWORD): the closing single quote is missing.",
                "Line 5: the closing double quote is missing.",
                "Line 6: there is a NUL byte: the file is damaged.",
            ]
        );
    }

    #[test]
    fn hopeless_files_are_described_briefly() {
        assert_eq!(messages(&[0; 4096]).len(), 1);
        let many = messages(&b"x\n".repeat(1000));
        assert_eq!(many.len(), MOST_PROBLEMS + 1);
        assert_eq!(many[MOST_PROBLEMS], "980 further lines can't be read.");
        assert_eq!(
            messages(&vec![b'#'; MAX_FILE_BYTES + 1]),
            ["The file is too large: at most 4194304 bytes are read."]
        );
        assert!(Values::parse(&vec![b'#'; MAX_FILE_BYTES]).is_ok());
    }

    #[test]
    fn no_secret_is_printed() {
        let mut values = Values::defaults();
        for key in ["PASSWORD", "PSK_KEY", "PRIVATE_KEY", "OTHER_PASSWORD"] {
            values.set(key, b"hunter2".to_vec());
        }
        values.set("USERNAME", b"house".to_vec());
        let printed = format!("{values:?}");
        assert!(
            printed.contains("house") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    #[test]
    #[should_panic(expected = "a key has only")]
    fn a_key_that_could_break_the_file_is_refused() {
        Values::defaults().set("A=1\nB", Vec::new());
    }
}
