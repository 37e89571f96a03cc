//! Topic Filters against a matcher written as the standard words it.

use mqtt::{TopicError, TopicFilter, TopicName};
use proptest::prelude::*;

use crate::packets;

/// Section 4.7 word by word.
fn naive(filter: &str, name: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let name_levels: Vec<&str> = name.split('/').collect();
    if name.starts_with('$') && (filter[0] == "#" || filter[0] == "+") {
        return false;
    }
    naive_levels(&filter, &name_levels)
}

fn naive_levels(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        // The parent level and any number of child levels.
        (["#"], _) => true,
        (["+", filter @ ..], [_, name @ ..]) => naive_levels(filter, name),
        ([wanted, filter @ ..], [level, name @ ..]) => {
            wanted == level && naive_levels(filter, name)
        }
        (filter, name) => filter.is_empty() && name.is_empty(),
    }
}

fn naive_filter(filter: &str) -> bool {
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
    !filter.is_empty() && levels_fit && share_fits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    // Few characters, so that matches happen.
    #[test]
    fn matches_as_the_naive_one(filter in "[a/+#$]{1,8}", name in "[a/$]{1,8}") {
        if let Ok(found) = TopicFilter::new(&filter) {
            let name = TopicName::new(&name).expect("no wildcards");
            prop_assert_eq!(found.matches(name), naive(&filter, name.as_str()), "{} {}", filter, name);
        }
    }

    #[test]
    fn a_filter_made_of_a_name_matches_it(name in packets::topic(), replaced in any::<[bool; 5]>()) {
        let name = TopicName::new(&name).expect("a topic name");
        let levels: Vec<&str> = name
            .levels()
            .zip(replaced)
            .map(|(level, replaced)| if replaced { "+" } else { level })
            .collect();
        let filter = levels.join("/");
        prop_assume!(!filter.is_empty() && !filter.starts_with("$share/"));
        let filter = TopicFilter::new(&filter).expect("a topic filter");
        prop_assert_eq!(filter.matches(name), !(name.is_dollar() && replaced[0]));
        let multi = format!("{filter}/#");
        let multi = TopicFilter::new(&multi).expect("a topic filter");
        prop_assert_eq!(multi.matches(name), filter.matches(name));
    }

    #[test]
    fn wildcards_have_their_place(filter in prop_oneof!["[a/+#]{0,6}", "\\$share/[a/+#]{0,6}", "\\$share"]) {
        prop_assert_eq!(TopicFilter::new(&filter).is_ok(), naive_filter(&filter), "{}", filter);
    }

    #[test]
    fn any_string_is_a_name_or_not(string in any::<String>()) {
        let is_refused = |character: char| {
            character.is_control()
                || ('\u{FDD0}'..='\u{FDEF}').contains(&character)
                || u32::from(character) % 0x1_0000 >= 0xFFFE
        };
        let expected = !string.is_empty() && !string.contains(['+', '#']) && !string.contains(is_refused);
        prop_assert_eq!(TopicName::new(&string).is_ok(), expected);
        if expected {
            prop_assert_eq!(TopicName::new(&string).map(TopicName::as_str), Ok::<_, TopicError>(string.as_str()));
        }
    }
}
