//! Topic Names and Topic Filters against the words of the standard (MQTT 5.0 sections 1.5.4, 4.7 and 4.8.2).

use mqtt::{TopicFilter, TopicName};

/// A line feed stands between Topic Filter and Topic Name, which both refuse it.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (filter, name) = text.split_once('\n').unwrap_or((text, text));
    check_pair(filter, name);
    check_pair(name, filter);
}

fn check_pair(filter: &str, name: &str) {
    let found_filter = TopicFilter::new(filter);
    let found_name = TopicName::new(name);
    assert_eq!(found_filter.is_ok(), is_filter(filter), "{filter:?}");
    assert_eq!(found_name.is_ok(), is_name(name), "{name:?}");
    let Ok(found_filter) = found_filter else {
        return;
    };
    assert_eq!(found_filter.as_str(), filter);
    assert_eq!(found_filter.has_wildcard(), filter.contains(['+', '#']));
    let shared = found_filter.share();
    assert_eq!(shared.is_some(), filter.starts_with("$share/"));
    if let Some((share, inner)) = shared {
        assert_eq!(format!("$share/{share}/{inner}"), filter);
        // A second share name in it is none, but a level like any other.
        if !inner.as_str().starts_with("$share") {
            assert_eq!(TopicFilter::new(inner.as_str()), Ok(inner));
        }
    }
    if let Ok(found_name) = found_name {
        let plain = shared.map_or(filter, |(_, inner)| inner.as_str());
        let expected = matches(plain, name);
        assert_eq!(
            found_filter.matches(found_name),
            expected,
            "{filter:?} {name:?}"
        );
    }
}

/// Whether the string is a Topic Name.
pub(crate) fn is_name(name: &str) -> bool {
    has_legal_characters(name) && !name.contains(['+', '#'])
}

/// Whether the string is a Topic Filter, possibly with a share name.
pub(crate) fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let plain = |level: &str| !level.contains(['+', '#']);
    let levels_fit = levels
        .iter()
        .enumerate()
        .all(|(index, &level)| plain(level) || level == "+" || level == "#" && index == last);
    let share_fits = levels[0] != "$share"
        || levels.len() == 1
        || levels.len() > 2 && !levels[1].is_empty() && plain(levels[1]) && levels[2..] != [""];
    has_legal_characters(filter) && levels_fit && share_fits
}

/// At least one character and at most 65,535 bytes, none of those that section 1.5.4 advises against.
fn has_legal_characters(topic: &str) -> bool {
    let is_refused = |character: char| {
        character.is_control()
            || ('\u{FDD0}'..='\u{FDEF}').contains(&character)
            || u32::from(character) % 0x1_0000 >= 0xFFFE
    };
    (1..=65_535).contains(&topic.len()) && !topic.contains(is_refused)
}

/// Whether a Topic Filter without share name matches, word by word.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let name_levels: Vec<&str> = name.split('/').collect();
    if name.starts_with('$') && (filter[0] == "#" || filter[0] == "+") {
        return false;
    }
    match_levels(&filter, &name_levels)
}

fn match_levels(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        // The parent level and any number of child levels.
        (["#"], _) => true,
        (["+", filter @ ..], [_, name @ ..]) => match_levels(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => {
            wanted == level && match_levels(filter, name)
        }
        (filter, name) => filter.is_empty() && name.is_empty(),
    }
}
